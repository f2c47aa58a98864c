"""The Invoke API on a port of its own: with boto3, and with plain bytes."""

import base64
import json
from typing import Any

import pytest
import trio

from okibi.local import LocalLambda
from okibi.local.server.http_requests import MAX_HEADER_SIZE
from tests.support.local_lambda import event, opened

ARN = "arn:aws:lambda:us-east-1:012345678912:function:function"
HOST = b"Host: localhost\r\n"
STREAM = b"/2021-11-15/functions/function/response-streaming-invocations"
POST = b"POST /2015-03-31/functions/function/invocations HTTP/1.1\r\n" + HOST


# -- boto3


def with_boto3(url: str, host: str) -> dict[str, Any]:
    """Return what boto3 gets, through a name or an address of this machine."""
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    aws: Any = boto3.client(  # pyright: ignore[reportUnknownMemberType]
        "lambda",
        endpoint_url=url.partition("/2015")[0].replace("127.0.0.1", host),
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    answer = aws.invoke(
        FunctionName=ARN,
        Qualifier="live",
        LogType="Tail",
        TenantId="blue",
        ClientContext=base64.b64encode('{"custom":{"a":"熾"}}'.encode()).decode(),
        Payload=event(do="headers"),
    )
    headers = json.load(answer["Payload"])["event"]["headers"]
    failed = aws.invoke(FunctionName="function", Payload=event(do="raise", text="no"))
    dry = aws.invoke_with_response_stream(FunctionName="function:live", InvocationType="DryRun")
    streamed = aws.invoke_with_response_stream(
        FunctionName="012345678912:function:function",
        LogType="Tail",
        Payload=event(do="stream", pieces=2, size=3, fail=True),
    )
    pieces = list(streamed["EventStream"])
    for opened_stream in (
        dry["EventStream"],
        streamed["EventStream"],
        answer["Payload"],
        failed["Payload"],
    ):
        opened_stream.close()
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.invoke(FunctionName="function", Qualifier="7")
    aws.close()
    return {
        "headers": headers,
        "log": base64.b64decode(answer["LogResult"]).decode(),
        "version": answer["ExecutedVersion"],
        "failed": failed["FunctionError"],
        "dry": dry["StatusCode"],
        "pieces": b"".join(e["PayloadChunk"]["Payload"] for e in pieces[:-1]),
        "end": pieces[-1]["InvokeComplete"],
    }


async def test_boto3_gets_what_it_asks_for() -> None:
    pytest.importorskip("boto3")
    async with opened() as (function, _):
        for host in ("127.0.0.1", "localhost"):
            check_result(await trio.to_thread.run_sync(with_boto3, function.invoke_url, host))


def check_result(told: dict[str, Any]) -> None:
    headers = told["headers"]
    assert headers["lambda-runtime-invoked-function-arn"] == f"{ARN}:live"
    assert headers["lambda-runtime-aws-tenant-id"] == "blue"
    context = headers["lambda-runtime-client-context"].encode("latin-1").decode()
    assert context == '{"custom":{"a":"熾"}}'
    assert told["log"].startswith("START RequestId: ")
    assert told["version"] == "$LATEST"
    assert told["failed"] == "Unhandled"
    assert told["dry"] == 204
    assert told["pieces"] == b"xxxxxx"
    end = told["end"]
    assert (end["ErrorCode"], end["ErrorDetails"]) == ("Function.Broke", '{"a":1}')
    assert "REPORT RequestId: " in base64.b64decode(end["LogResult"]).decode()


# -- bytes


async def connect(function: LocalLambda) -> trio.SocketStream:
    port = int(function.invoke_url.rpartition(":")[2].partition("/")[0])
    return await trio.open_tcp_stream("127.0.0.1", port)


async def ask(stream: trio.SocketStream, request: bytes, end: bytes = b"}") -> bytes:
    """Send a request; return the response, up to its last bytes."""
    await stream.send_all(request)
    answer = b""
    while not answer.endswith(end):
        received = await stream.receive_some()
        assert received, answer
        answer += received
    return answer


async def test_one_connection_carries_calls_of_every_kind() -> None:
    body = event(do="stream", pieces=2, size=3)
    async with opened() as (function, lines), await connect(function) as stream:
        asked = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        assert await ask(stream, asked, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await ask(stream, b"{}")).startswith(b"HTTP/1.1 200 OK\r\n")

        refused = await ask(stream, POST + b"Content-Length: 1\r\n\r\n{")
        assert refused.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nX-Amzn-ErrorType: InvalidRequestContentException\r\n" in refused

        unknown = await ask(stream, b"GET /2015-03-31/functions/ HTTP/1.1\r\n" + HOST + b"\r\n")
        assert unknown.startswith(b"HTTP/1.1 404 ")
        assert b"invoke with POST /2015-03-31/functions/function/invocations" in unknown

        head = b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (STREAM, HOST, len(body))
        streamed = await ask(stream, head + body, b"\r\n0\r\n\r\n")
        assert streamed.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nTransfer-Encoding: chunked\r\n" in streamed
        assert b"InvokeComplete" in streamed

        later = event(do="print", text="later")
        queued = b"X-Amz-Invocation-Type: Event\r\nContent-Length: %d\r\n\r\n" % len(later)
        accepted = await ask(stream, POST + queued + later, b"\r\n\r\n")
        assert accepted.startswith(b"HTTP/1.1 202 Accepted\r\n")
        await function.invoke(b"{}")
        await function.invoke(b"{}")
        assert "later" in lines


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST %b HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}" % STREAM, b"HTTP/1.0 505 "),
        (POST + b"X: " + b"x" * 2 * MAX_HEADER_SIZE, b"HTTP/1.1 431 "),
        (b"no HTTP\r\n\r\n", b"HTTP/1.1 400 "),
    ],
    ids=["a stream over HTTP/1.0", "long headers", "no HTTP"],
)
async def test_a_request_that_the_port_cannot_serve_is_refused(
    request_: bytes, status: bytes
) -> None:
    async with opened() as (function, _), await connect(function) as stream:
        await stream.send_all(request_)

        assert (await stream.receive_some()).startswith(status)
        assert list(function.journal) == []
