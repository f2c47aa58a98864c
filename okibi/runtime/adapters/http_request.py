"""Read the HTTP request out of an event, as API Gateway, function URLs and load balancers send it.

`http_answer` is the way back. `okibi.local.services.http_events` makes the events; what an event
cannot carry of a request stands in `docs/web-frameworks.md`.
"""

import enum
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast
from urllib.parse import quote, quote_plus, unquote

from ..codec.json import UnmarshalError

# Characters that a path may have unencoded (RFC 3986: pchar), with the slash.
_PATH = "/:@!$&'()*+,;=~"
# A path that needs no encoding: a match takes a quarter of the time that quoting takes.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
# A part of the domain of each API of API Gateway; a custom domain has it not.
_API_DOMAIN = ".execute-api."
# The first fields of an event, in an error.
_SHOWN = 4

Headers: TypeAlias = list[tuple[str, str]]


class NoHttpRequest(UnmarshalError):
    """The event is no HTTP request, or one that cannot be read."""


class EventFormat(enum.Enum):
    """The format of an event that is an HTTP request, and of the answer."""

    PAYLOAD_2 = "an HTTP API or a function URL, payload format 2.0"
    PAYLOAD_1 = "a REST API, or an HTTP API with payload format 1.0"
    LOAD_BALANCER = "a load balancer"
    LOAD_BALANCER_LISTS = "a load balancer with multi-value headers"


# The members as globals: in Python 3.11 an access by the class is a slow call.
PAYLOAD_2, PAYLOAD_1, LOAD_BALANCER, LOAD_BALANCER_LISTS = EventFormat


class HttpRequest(NamedTuple):
    """One HTTP request. A tuple, because one is made for each event.

    Args:
        format: the format of the event.
        method: the method, in capitals.
        path: the whole path, decoded, with `root_path`.
        raw_path: the whole path, percent-encoded; of an HTTP API, which decodes, encoded again.
        root_path: the stage and the base path, decoded: where the application is mounted.
        query: the query string, without `?`.
        headers: names in lower case and values, in the order of the event.
        client: the address of the client; None if the event has none.
        scheme: `https` or `http`.
        server: the host that the request names, and the port.
        http_version: the version of HTTP, such as `1.1`.
        body: the whole body.
    """

    format: EventFormat
    method: str
    path: str
    raw_path: str
    root_path: str
    query: str
    headers: Headers
    client: str | None
    scheme: str
    server: tuple[str, int]
    http_version: str
    body: bytes


def read_request(event: Any, base_path: str = "") -> HttpRequest:
    """Read the request out of an event.

    Args:
        event: the decoded event.
        base_path: the base path of a custom domain, such as `/shop`; a path below it has it in
            `root_path`. A path of format 2.0 lacks it behind a custom domain, and gets it.

    Raises:
        NoHttpRequest: the event is something else, or its body is no Base64.
    """
    event_format = find_format(event)
    context: Mapping[str, Any] = event["requestContext"]
    root = ""
    if event_format is PAYLOAD_2:
        http: Mapping[str, Any] = context["http"]
        known = _read_single_headers(event)
        if cookies := event.get("cookies"):
            known["cookie"] = "; ".join(cookies)
        headers = [*known.items()]
        method, client, protocol = http["method"], http.get("sourceIp"), http.get("protocol")
        query, raw = event.get("rawQueryString") or "", event.get("rawPath") or "/"
        if _is_function_url(context):
            path = unquote(raw)
        else:
            path, root = _find_http_api_path(raw, context, base_path)
            raw = path if _PLAIN_PATH(path) else quote(path, safe=_PATH)
    else:
        if lists := event.get("multiValueHeaders"):
            headers = [(name.lower(), value) for name, values in lists.items() for value in values]
            known = dict(headers)
            if len(known) < len(headers):
                headers, known = _join_cookies(headers)
        else:
            known = _read_single_headers(event)
            headers = [*known.items()]
        method, raw = event["httpMethod"], event["path"] or "/"
        query = _read_query(event, decoded=event_format is PAYLOAD_1)
        if event_format is PAYLOAD_1:
            identity: Mapping[str, Any] = context.get("identity") or {}
            client, protocol = identity.get("sourceIp"), context.get("protocol")
            path, raw, root = _find_payload_1_path(event, raw, context)
        else:
            client = protocol = None
            path = unquote(raw)
    if base_path and root != base_path and _is_below(path[len(root) :], base_path):
        root += base_path
    if client is None and "x-forwarded-for" in known:
        # The last address is the one that the load balancer itself has seen.
        client = known["x-forwarded-for"].rpartition(",")[2].strip()
    scheme = known.get("x-forwarded-proto", "https")
    return HttpRequest(
        event_format, method.upper(), path, raw, root, query, headers, client, scheme,
        _find_server(known, scheme), protocol[5:] if protocol else "1.1", _read_body(event),
    )  # fmt: skip


def find_format(event: Any) -> EventFormat:
    """Return the format of an event that is an HTTP request.

    Raises:
        NoHttpRequest: the event is something else.
    """
    given: dict[str, Any] = event
    if isinstance(event, dict):
        context: object = given.get("requestContext")
        if isinstance(context, dict):
            if "http" in context:
                return PAYLOAD_2
            if "elb" in context:
                lists: object = given.get("multiValueHeaders")
                return LOAD_BALANCER if lists is None else LOAD_BALANCER_LISTS
            # A WebSocket's event has a connection in place of a path.
            if "httpMethod" in event and "path" in event and "connectionId" not in context:
                return PAYLOAD_1
    if given == {}:
        raise NoHttpRequest(
            "a web application takes HTTP requests, and this event is empty: send one, as "
            "`okibi event function-url --path /` prints it"
        )
    raise NoHttpRequest(
        "a web application takes the HTTP requests of API Gateway, function URLs and load "
        f"balancers, and this event is {_describe(given)}: name another function for it, or give "
        "a handler for such events by other=handler"
    )


def _describe(event: object) -> str:
    """Return what an event is, without its values."""
    if not isinstance(event, dict):
        return f"of type {type(event).__name__}"
    own = cast("dict[str, Any]", event)
    records: Sequence[Any] | None = own.get("Records")
    first: Any = records[0] if records and isinstance(records, list) else own
    if isinstance(first, dict):
        named = cast("dict[str, Any]", first)
        for field in ("eventSource", "EventSource", "source"):
            if isinstance(source := named.get(field), str):
                return f"from {source[:80]}"
    fields = [str(name)[:40] for name in own]
    return f"an object with {', '.join(fields[:_SHOWN])}{', …' * (len(fields) > _SHOWN)}"


def _is_function_url(context: Mapping[str, Any]) -> bool:
    """Return whether the event is of a function URL, which keeps the path encoded."""
    # A function URL without IAM has no account; one with IAM is known by its domain.
    return context.get("accountId") == "anonymous" or ".lambda-url." in context.get(
        "domainName", ""
    )


def _find_http_api_path(path: str, context: Mapping[str, Any], base_path: str) -> tuple[str, str]:
    """Return path and root path of an HTTP API with payload format 2.0.

    Behind a custom domain, the event's path has the stage, which the URL has not, and lacks the
    base path, which the URL has (API Gateway: Lambda proxy integrations for HTTP APIs).
    """
    stage: str = context.get("stage", "$default")
    root = "" if stage == "$default" or not _is_below(path, f"/{stage}") else f"/{stage}"
    if not _has_custom_domain(context):
        return path, root
    path = path[len(root) :] or "/"
    return (path if _is_below(path, base_path) else base_path + path), base_path


def _find_payload_1_path(
    event: Mapping[str, Any], path: str, context: Mapping[str, Any]
) -> tuple[str, str, str]:
    """Return path, raw path and root path of an API with payload format 1.0."""
    stage_root = f"/{context.get('stage')}"
    if "version" in event:
        # An HTTP API decodes the path. Behind a custom domain, the path has no stage.
        has_stage = _is_below(path, stage_root) and not _has_custom_domain(context)
        return path, quote(path, safe=_PATH), stage_root if has_stage else ""
    # A REST API keeps the path encoded. Only the path of the context has the stage, and behind a
    # custom domain the two paths are the same.
    full: str | None = context.get("path")
    decoded = unquote(path) if "%" in path else path
    if full and full != path and _is_below(full, stage_root):
        return stage_root + decoded, stage_root + path, stage_root
    return decoded, path, ""


def _has_custom_domain(context: Mapping[str, Any]) -> bool:
    return _API_DOMAIN not in context.get("domainName", _API_DOMAIN)


def _is_below(path: str, root: str) -> bool:
    return path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/")


def _read_single_headers(event: Mapping[str, Any]) -> dict[str, str]:
    fields: dict[str, str] = event.get("headers") or {}
    # Most services send all names in lower case. One look at all of them is fast.
    if "".join(fields).islower():
        return fields.copy()
    return {name.lower(): value for name, value in fields.items()}


def _join_cookies(headers: Headers) -> tuple[Headers, dict[str, str]]:
    """Return the headers with one line of cookies: frameworks read one line."""
    cookies = [value for name, value in headers if name == "cookie"]
    if len(cookies) > 1:
        headers = [each for each in headers if each[0] != "cookie"]
        headers.append(("cookie", "; ".join(cookies)))
    return headers, dict(headers)


def _read_query(event: Mapping[str, Any], *, decoded: bool) -> str:
    """Return the query string.

    Args:
        event: the event.
        decoded: whether the service has decoded the parameters.
    """
    if lists := event.get("multiValueQueryStringParameters"):
        pairs = [(name, value) for name, values in lists.items() for value in values]
    elif single := event.get("queryStringParameters"):
        pairs = single.items()
    else:
        return ""
    if decoded:
        return "&".join([f"{_encode_text(name)}={_encode_text(value)}" for name, value in pairs])
    return "&".join([f"{name}={value}" for name, value in pairs])


def _encode_text(text: str) -> str:
    # Most texts need no encoding. The look takes a tenth of the time that quoting takes.
    return text if text.isascii() and text.isalnum() else quote_plus(text)


def _find_server(headers: Mapping[str, str], scheme: str) -> tuple[str, int]:
    host = headers.get("host", "lambda")
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():
        # No port: a name, or an IPv6 address, whose colons stand in brackets.
        name, port = host, headers.get("x-forwarded-port", "")
    if not port.isdecimal():
        port = "80" if scheme == "http" else "443"
    return name.strip("[]"), int(port)


def _read_body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body")
    if not body:
        return b""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")  # type: ignore[no-any-return]
    try:
        return a2b_base64(body)
    except (Base64Error, ValueError) as error:
        raise NoHttpRequest(f"the body of the request is no Base64: {error}") from None
