"""The request of an invoker: the target, the event and the options (Lambda Invoke)."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import parse_qs

import attrs

from ...runtime.codec.json import find_json_error
from ..limits import MAX_ASYNCHRONOUS_EVENT_SIZE, MAX_CLIENT_CONTEXT_SIZE, MAX_EVENT_SIZE
from ..platform.invocation import Invocation, check_headers
from ..platform.log_tail import LogTail
from .function_names import InvokeTarget, is_served, parse_function_name
from .invoke_errors import InvokeError

_TENANT = re.compile(r"[a-zA-Z0-9._:/=+@ -]{1,256}")


@attrs.frozen
class LambdaRequest:
    """A request to Lambda's API, with its whole body.

    Args:
        method: the HTTP method.
        path: the path, URL-decoded.
        query: the query string.
        headers: the headers, names in lower case.
        body: the event. Its end may be missing if it is too large.
        size: bytes of the whole event.
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    size: int


def read_qualifier(query: bytes) -> str:
    """Return the `Qualifier` of a query string, or ""."""
    return parse_qs(query.decode("ascii", "replace")).get("Qualifier", [""])[0]


def find_target(name: str, qualifier: str, arns: Mapping[str, str]) -> InvokeTarget:
    """Find the function that a call names.

    Args:
        name: `FunctionName`, URL-decoded: a name, a partial ARN, or an ARN.
        qualifier: `Qualifier`, or "".
        arns: the ARN of each served function by its name.

    Returns:
        The target: name, qualifier, and the ARN that the call named, with the qualifier.

    Raises:
        InvokeError: no served function, or no served version, has this name.
    """
    target = _parse_name(name, arns)
    if qualifier and target.qualifier and qualifier != target.qualifier:
        raise InvokeError(
            400,
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    qualifier = qualifier or target.qualifier
    arn = f"{target.arn}:{qualifier}" if qualifier else target.arn
    if target.name not in arns:
        raise _function_not_found(arn, f" (served here: {', '.join(sorted(arns))})")
    if not is_served(qualifier):
        raise _function_not_found(
            arn, " (only $LATEST and aliases exist here, no published versions)"
        )
    return InvokeTarget(target.name, arn, qualifier)


def _function_not_found(name: str, hint: str = "") -> InvokeError:
    """Return Lambda's error for an unknown function."""
    return InvokeError(404, "ResourceNotFoundException", f"Function not found: {name}{hint}")


def _parse_name(name: str, arns: Mapping[str, str]) -> InvokeTarget:
    parsed = [parse_function_name(name, arn) for arn in arns.values()]
    targets = [target for target in parsed if target is not None]
    if not targets:
        raise _function_not_found(name)
    return next((target for target in targets if target.name in arns), targets[0])


def read_choice(headers: Mapping[bytes, bytes], header: str, *values: str) -> str:
    """Return a header with few allowed values; the first is the default.

    Raises:
        InvokeError: the header has another value.
    """
    value = _header(headers, header.lower().encode()) or values[0]
    if value not in values:
        raise InvokeError(
            400,
            "InvalidParameterValueException",
            f"{header} must be one of {', '.join(values)}, got {value!r}",
        )
    return value


def read_invocation(
    request: LambdaRequest, *, timeout: float, function_arn: str, asynchronous: bool = False
) -> Invocation:
    """Build the invocation that a request asks for.

    Args:
        request: the request.
        timeout: seconds that the function has.
        function_arn: the ARN that the invoker named, with qualifier.
        asynchronous: whether the event is queued; such an event has to be smaller.

    Raises:
        InvokeError: the event is too large or no JSON, or a header is invalid.
    """
    headers = request.headers
    _check_size(request.size, asynchronous=asynchronous)
    payload = request.body or b"{}"
    if wrong := find_json_error(payload):
        raise _bad_content(f"Could not parse request body into json: {wrong}")
    invocation = Invocation(payload, timeout, function_arn=function_arn)
    invocation.tenant_id = _read_tenant_id(_header(headers, b"x-amz-tenant-id"))
    context = _read_client_context(_header(headers, b"x-amz-client-context"))
    # "Lambda passes the ClientContext object to your function for synchronous invocations only."
    invocation.client_context = "" if asynchronous else context
    if read_choice(headers, "X-Amz-Log-Type", "None", "Tail") == "Tail" and not asynchronous:
        invocation.log = LogTail()
    if trace_id := _header(headers, b"x-amzn-trace-id"):
        invocation.trace_id = trace_id
    try:
        check_headers(invocation)
    except ValueError as error:
        raise _bad_content(str(error)) from error
    return invocation


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("utf-8", "replace")


def _bad_content(message: str) -> InvokeError:
    return InvokeError(400, "InvalidRequestContentException", message)


def _check_size(size: int, *, asynchronous: bool) -> None:
    if asynchronous and size > MAX_ASYNCHRONOUS_EVENT_SIZE:
        message = (
            f"{size} byte payload is too large for the Event invocation type"
            f" (limit {MAX_ASYNCHRONOUS_EVENT_SIZE} bytes)"
        )
    elif size > MAX_EVENT_SIZE:
        message = (
            f"Request must be smaller than {MAX_EVENT_SIZE} bytes for the InvokeFunction operation"
        )
    else:
        return
    raise InvokeError(413, "RequestTooLargeException", message)


def _read_tenant_id(header: str) -> str:
    if header and not _TENANT.fullmatch(header):
        raise InvokeError(
            400,
            "InvalidParameterValueException",
            f"X-Amz-Tenant-Id must match {_TENANT.pattern}, got {header[:300]!r}",
        )
    return header


def _read_client_context(header: str) -> str:
    if len(header) > MAX_CLIENT_CONTEXT_SIZE:
        raise _bad_content(
            f"Client context must be at most {MAX_CLIENT_CONTEXT_SIZE} characters of Base64, got"
            f" {len(header)}."
        )
    try:
        context = base64.b64decode(header, validate=True)
    except ValueError:
        context = b"no JSON"
    # Valid JSON is UTF-8 and escapes control characters.
    if context and (find_json_error(context) or not context.lstrip().startswith(b"{")):
        raise _bad_content("Client context must be a valid Base64-encoded JSON object.")
    return context.decode()
