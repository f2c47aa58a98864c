"""The services, and how a call becomes an HTTP request. Pure.

A service of AWS JSON is one row: its operations differ in a header only. An operation of REST-JSON
is a row of its own, so there are few: boto3 is the client for the others.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote

from .errors import CallFailed
from .sigv4 import encode_query

__all__ = ["SERVICES", "Request", "build_request", "find_service", "read_answer"]


class Service(NamedTuple):
    """A service that okibi can call.

    Attributes:
        host: the first part of its host name.
        signing_name: its name in signatures.
        variable: the last part of its variable AWS_ENDPOINT_URL_...
        target: the prefix of the header X-Amz-Target; "" for REST-JSON.
        version: the version of AWS JSON; "" for REST-JSON.
    """

    host: str
    signing_name: str
    variable: str
    target: str
    version: str


class RestOperation(NamedTuple):
    """An operation of REST-JSON. Parameters that no field names are the JSON body.

    Attributes:
        method: the HTTP method.
        path: the path, with names of parameters in braces.
        query: parameters that go into the query, and their names there.
        headers: parameters that go into headers, and the headers.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


def _json(name: str, variable: str, target: str, version: str, host: str = "") -> Service:
    return Service(host or name, name, variable, target, version)


# The names are boto3's.
SERVICES: Final[Mapping[str, Service]] = {
    "athena": _json("athena", "ATHENA", "AmazonAthena", "1.1"),
    "cloudwatch": _json("monitoring", "CLOUDWATCH", "GraniteServiceVersion20100801", "1.0"),
    "cognito-idp": _json(
        "cognito-idp", "COGNITO_IDENTITY_PROVIDER", "AWSCognitoIdentityProviderService", "1.1"
    ),
    "dynamodb": _json("dynamodb", "DYNAMODB", "DynamoDB_20120810", "1.0"),
    "dynamodbstreams": _json(
        "dynamodb", "DYNAMODB_STREAMS", "DynamoDBStreams_20120810", "1.0", "streams.dynamodb"
    ),
    "ecs": _json("ecs", "ECS", "AmazonEC2ContainerServiceV20141113", "1.1"),
    "events": _json("events", "EVENTBRIDGE", "AWSEvents", "1.1"),
    "firehose": _json("firehose", "FIREHOSE", "Firehose_20150804", "1.1"),
    "glue": _json("glue", "GLUE", "AWSGlue", "1.1"),
    "kinesis": _json("kinesis", "KINESIS", "Kinesis_20131202", "1.1"),
    "kms": _json("kms", "KMS", "TrentService", "1.1"),
    "lambda": _json("lambda", "LAMBDA", "", ""),
    "logs": _json("logs", "CLOUDWATCH_LOGS", "Logs_20140328", "1.1"),
    "redshift-data": _json("redshift-data", "REDSHIFT_DATA", "RedshiftData", "1.1"),
    "rekognition": _json("rekognition", "REKOGNITION", "RekognitionService", "1.1"),
    "scheduler": _json("scheduler", "SCHEDULER", "", ""),
    "secretsmanager": _json("secretsmanager", "SECRETS_MANAGER", "secretsmanager", "1.1"),
    "sqs": _json("sqs", "SQS", "AmazonSQS", "1.0"),
    "ssm": _json("ssm", "SSM", "AmazonSSM", "1.1"),
    "stepfunctions": _json("states", "SFN", "AWSStepFunctions", "1.0"),
    "translate": _json("translate", "TRANSLATE", "AWSShineFrontendService_20170701", "1.1"),
}  # fmt: skip
REST: Final[Mapping[tuple[str, str], RestOperation]] = {
    ("lambda", "Invoke"): RestOperation(
        "POST",
        "/2015-03-31/functions/{FunctionName}/invocations",
        query={"Qualifier": "Qualifier"},
        headers={
            "InvocationType": "x-amz-invocation-type",
            "LogType": "x-amz-log-type",
            "ClientContext": "x-amz-client-context",
            "TenantId": "x-amz-tenant-id",
        },
    ),
    ("scheduler", "CreateSchedule"): RestOperation("POST", "/schedules/{Name}"),
    ("scheduler", "UpdateSchedule"): RestOperation("PUT", "/schedules/{Name}"),
    ("scheduler", "GetSchedule"): RestOperation(
        "GET", "/schedules/{Name}", query={"GroupName": "groupName"}
    ),
    ("scheduler", "DeleteSchedule"): RestOperation(
        "DELETE",
        "/schedules/{Name}",
        query={"GroupName": "groupName", "ClientToken": "clientToken"},
    ),
}
# Seconds without a byte of the answer after which a call has timed out, and the operations that
# wait on purpose.
SILENCE: Final = 10.0
SLOW: Final[Mapping[tuple[str, str], float]] = {
    # As long as a function may run.
    ("lambda", "Invoke"): 905.0,
    ("sqs", "ReceiveMessage"): 30.0,
    ("stepfunctions", "GetActivityTask"): 70.0,
}
# Headers of the answer to Invoke, and their names in boto3's answer.
ANSWERED: Final = {
    b"x-amz-executed-version": "ExecutedVersion",
    b"x-amz-log-result": "LogResult",
    b"x-amz-function-error": "FunctionError",
}
# By the beginning of the region's name.
DOMAINS: Final = {"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu"}


class Request(NamedTuple):
    """A call as an HTTP request, without host and signature.

    Attributes:
        method, path, query, headers, body: the parts of the request.
        silence: seconds without a byte of the answer after which the call has timed out.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    silence: float


def find_service(name: str) -> Service:
    """Return the row of a service.

    Raises:
        ValueError: okibi does not call this service.
    """
    service = SERVICES.get(name)
    if service is None:
        raise ValueError(
            f"okibi.aws does not call {name!r}; it calls {', '.join(SERVICES)}. For another "
            "service use boto3: await aws.in_thread(client.method, ...)"
        )
    return service


def check_region(region: str) -> None:
    """Check that a region can be a part of a host name.

    Raises:
        ValueError: it cannot.
    """
    if not (region.isascii() and region.replace("-", "").isalnum() and len(region) < 64):
        raise ValueError(f"AWS_REGION, or region=, is a name such as us-west-2, got {region!r}")


def host_of(service: Service, region: str) -> str:
    """Return the host of a service in a region.

    >>> host_of(SERVICES["stepfunctions"], "cn-north-1")
    'states.cn-north-1.amazonaws.com.cn'
    """
    found = [domain for start, domain in DOMAINS.items() if region.startswith(start)]
    return f"{service.host}.{region}.{found[0] if found else 'amazonaws.com'}"


def build_request(name: str, operation: str, parameters: Mapping[str, Any]) -> Request:
    """Return the HTTP request of a call.

    Args:
        name: the name of the service.
        operation: the operation, as AWS writes it: "GetItem".
        parameters: the parameters of the operation. Bytes are sent as base64.

    Raises:
        TypeError: a parameter is not JSON.
        ValueError: okibi does not call the service or operation, or a parameter is missing.
    """
    service = find_service(name)
    silence = SLOW.get((name, operation), SILENCE)
    if service.target:
        if not (operation.isalnum() and operation[0].isupper()):
            raise ValueError(f"{name}: {operation!r} is no operation; write it as in 'GetItem'")
        headers = {
            "content-type": f"application/x-amz-json-{service.version}",
            "x-amz-target": f"{service.target}.{operation}",
        }
        return Request("POST", "/", "", headers, _encode(name, operation, parameters), silence)
    rest = REST.get((name, operation))
    if rest is None:
        known = ", ".join(each for owner, each in REST if owner == name)
        raise ValueError(f"okibi.aws calls {known} of {name!r}; use boto3 for {operation!r}")
    left = dict(parameters)
    before, _, after = rest.path.partition("{")
    label, _, after = after.partition("}")
    if not left.get(label):
        raise ValueError(f"{name} {operation} needs the parameter {label!r}")
    path = f"{before}{quote(str(left.pop(label)), '-_.~')}{after}"
    query = {own: str(left.pop(given)) for given, own in rest.query.items() if given in left}
    headers = {own: str(left.pop(given)) for given, own in rest.headers.items() if given in left}
    if not all(text.isascii() and text.isprintable() for text in headers.values()):
        raise ValueError(f"{name} {operation}: {', '.join(rest.headers)} are printable ASCII texts")
    body = b""
    if operation == "Invoke":
        payload = left.pop("Payload", b"")
        if left:
            raise ValueError(f"{name} {operation} has no parameter {', '.join(left)}")
        # As with boto3, a text is JSON already.
        payload = payload.encode() if isinstance(payload, str) else payload
        if isinstance(payload, bytes | bytearray):
            body = bytes(payload)
        else:
            body = _encode(name, operation, payload)
    elif left or rest.method in ("POST", "PUT"):
        body = _encode(name, operation, left)
    if body:
        headers["content-type"] = "application/json"
    return Request(rest.method, path, encode_query(query), headers, body, silence)


def _encode(name: str, operation: str, value: object) -> bytes:
    try:
        return json.dumps(
            value, default=_encode_other, separators=(",", ":"), allow_nan=False
        ).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} {operation}: a parameter is not JSON: {error}") from error


def _encode_other(value: object) -> object:
    match value:
        case bytes() | bytearray():
            return b64encode(value).decode()
        case Mapping():
            return dict(cast("Mapping[str, object]", value))
        case _:
            name = type(value).__name__
            hint = "; DynamoDB's items are made by aws.to_item" if name == "Decimal" else ""
            raise TypeError(f"a value of type {name}{hint}")


def read_answer(
    name: str, operation: str, status: int, headers: Mapping[bytes, bytes], body: bytes
) -> dict[str, Any]:
    """Return the answer of a service.

    Raises:
        CallFailed: the service refused, or the answer is not the service's.
    """
    request_id = _header(headers, b"x-amzn-requestid") or _header(headers, b"x-amz-request-id")
    try:
        value: Any = json.loads(body) if body else {}
        is_json = True
    except (ValueError, RecursionError):
        value, is_json = None, False
    if is_json and status < 300 and (name, operation) == ("lambda", "Invoke"):
        return _read_invocation(status, headers, value if body else None, request_id)
    if not isinstance(value, dict):
        # Something between here and AWS has answered, for example a proxy.
        shown = repr(body[:100])
        text, code = f"the answer is not JSON: {shown}", "NotAnAnswer"
        raise CallFailed(name, operation, code, text, status=status, request_id=request_id)
    answer = cast("dict[str, Any]", value)
    if status < 300:
        return answer
    kind = answer.get("__type") or _header(headers, b"x-amzn-errortype") or answer.get("code")
    code = str(kind or "Unknown").rpartition("#")[2].partition(":")[0]
    text = str(answer.get("message") or answer.get("Message") or "")
    raise CallFailed(
        name, operation, code, text, status=status, request_id=request_id, answer=answer
    )


def _read_invocation(
    status: int, headers: Mapping[bytes, bytes], payload: Any, request_id: str
) -> dict[str, Any]:
    answer: dict[str, Any] = {"StatusCode": status, "Payload": payload}
    answer |= {name: _header(headers, own) for own, name in ANSWERED.items() if own in headers}
    kind = answer.get("FunctionError")
    if kind is None:
        return answer
    error = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
    code, text = str(error.get("errorType") or kind), str(error.get("errorMessage") or "")
    raise CallFailed(
        "lambda", "Invoke", code, text, status=status, request_id=request_id, answer=answer
    )


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
