"""The Invoke API over real sockets."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from okibi.local import FunctionSettings, LocalLambda, open_local_lambda
from tests.limits import HANG
from tests.support.local_lambda import event, opened

ARN = "arn:aws:lambda:us-east-1:012345678912:function:function"
STREAM = "/2021-11-15/functions/function/response-streaming-invocations"


@attrs.define(eq=False)
class Client:
    function: LocalLambda
    http: httpx.AsyncClient

    async def post(
        self, body: bytes = b"{}", name: str = "function", query: str = "", **headers: str
    ) -> httpx.Response:
        path = f"/2015-03-31/functions/{name}/invocations{query}"
        return await self.post_to(path, body, **headers)

    async def post_to(self, path: str, body: bytes = b"{}", **headers: str) -> httpx.Response:
        lines = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
        base = self.function.invoke_url.partition("/2015")[0]
        return await self.http.post(base + path, content=body, headers=lines)

    async def runtime_headers(self, **fields: Any) -> dict[str, str]:
        """Invoke; return the headers of the /next that the runtime got."""
        response = await self.post(event(do="headers"), **fields)
        assert response.status_code == 200
        headers: dict[str, str] = response.json()["event"]["headers"]
        return {
            name.removeprefix("lambda-runtime-"): value
            for name, value in headers.items()
            if name.startswith("lambda-runtime-")
        }


@asynccontextmanager
async def client(**fields: Any) -> AsyncIterator[Client]:
    async with opened(**fields) as (function, _), httpx.AsyncClient(trust_env=False) as http:
        yield Client(function, http)


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


# -- the client context


NO_CONTEXTS = {
    "NUL": encoded('{"custom":{"a":"\0"}}'),
    "escape": encoded('{"custom":{"a":"\x1b"}}'),
    "DEL": encoded('{"custom":{"a":"\x7f"}}'),
    "latin-1": encoded(b'{"custom":{"a":"\xe9"}}'),
    "only NUL": encoded("\0"),
    "no JSON": encoded("not json"),
    "no object": encoded('["no object"]'),
    "two": encoded('{"a":1} {"b":2}'),
    "no base64": "%%",
    "no padding": "e30",
    "no ASCII": "é",
}


async def test_a_client_context_that_is_not_a_json_object_is_refused() -> None:
    async with client(timeout=1) as invoker:
        for what, context in NO_CONTEXTS.items():
            response = await invoker.post(X_Amz_Client_Context=context)

            assert response.status_code == 400, what
            assert response.headers["X-Amzn-ErrorType"] == "InvalidRequestContentException"
        assert list(invoker.function.journal) == []


CONTEXTS = {
    "escaped NUL": ('{"custom":{"a":"\\u0000"}}', '{"custom":{"a":"\\u0000"}}'),
    "line break": ('{"custom":\r\n\t{"a":1}}', '{"custom":  \t{"a":1}}'),
    "beyond latin-1": ('{"custom":{"a":"熾火\x85"}}', '{"custom":{"a":"熾火\x85"}}'),
}


async def test_a_client_context_reaches_the_runtime_in_one_line() -> None:
    async with client() as invoker:
        for what, (context, told) in CONTEXTS.items():
            headers = await invoker.runtime_headers(X_Amz_Client_Context=encoded(context))

            assert headers["client-context"].encode("latin-1").decode() == told, what


async def test_a_client_context_that_no_header_can_carry_raises() -> None:
    async with opened() as (function, _):
        for text in ("\0", "a\x1bb", "\x7f", "\ud800"):
            with pytest.raises(
                ValueError, match=r"client_context contains .*, which an HTTP header cannot"
            ):
                await function.invoke(b"{}", client_context=text)
            with pytest.raises(
                ValueError, match=r"client_context contains .*, which an HTTP header cannot"
            ):
                function.stream(b"{}", client_context=text)


# -- DryRun


async def test_a_stream_cannot_be_queued() -> None:
    async with client() as invoker:
        response = await invoker.post_to(STREAM, X_Amz_Invocation_Type="Event")

        assert response.status_code == 400
        assert response.headers["X-Amzn-ErrorType"] == "InvalidParameterValueException"


async def test_a_dry_run_reports_errors() -> None:
    async with client() as invoker:
        for query in ("?Qualifier=7", "?Qualifier=no%20name"):
            response = await invoker.post(query=query, X_Amz_Invocation_Type="DryRun")
            assert response.status_code == 404


# -- the function's name


NAMES = [
    ("function", ARN),
    ("function:$LATEST", f"{ARN}:$LATEST"),
    ("function:live", f"{ARN}:live"),
    ("012345678912:function:function", ARN),
    ("012345678912:function:function:live", f"{ARN}:live"),
    ("123456789012:function:function", ARN.replace("012345678912", "123456789012")),
    ("function:function", ARN),
    (ARN, ARN),
    (f"{ARN}:live", f"{ARN}:live"),
    (
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:function",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:function",
    ),
]


async def test_a_function_is_found_by_every_name_that_lambda_accepts() -> None:
    async with client() as invoker:
        for name, arn in NAMES:
            headers = await invoker.runtime_headers(name=name.replace(":", "%3A"))

            assert headers["invoked-function-arn"] == arn, name


NOT_FOUND = [
    ("other", f"{ARN[:-8]}other"),
    ("012345678912:function:other", f"{ARN[:-8]}other"),
    (f"{ARN[:-8]}other", f"{ARN[:-8]}other"),
    ("function:7", f"{ARN}:7"),
    ("function2", f"{ARN}2"),
    ("function:live:next", f"{ARN[:-8]}live:next"),
    ("a b", "a b"),
]


async def test_another_function_or_version_is_not_found() -> None:
    async with client() as invoker:
        for name, arn in NOT_FOUND:
            response = await invoker.post(name=name)

            assert response.status_code == 404, name
            assert response.headers["X-Amzn-ErrorType"] == "ResourceNotFoundException"
            assert response.json()["Message"].startswith(f"Function not found: {arn}")


# -- the qualifier


async def test_two_different_qualifiers_are_refused() -> None:
    async with client() as invoker:
        same = await invoker.post(name="function:live", query="?Qualifier=live")
        differ = await invoker.post(name="function:live", query="?Qualifier=next")

        assert same.status_code == 200
        assert differ.status_code == 400
        assert differ.headers["X-Amzn-ErrorType"] == "InvalidParameterValueException"


# -- the tenant


async def test_the_tenant_id_reaches_the_runtime() -> None:
    async with client() as invoker:
        headers = await invoker.runtime_headers(X_Amz_Tenant_Id="blue-1@a.b")
        assert headers["aws-tenant-id"] == "blue-1@a.b"
        assert "aws-tenant-id" not in await invoker.runtime_headers()


async def test_an_invalid_tenant_id_is_refused() -> None:
    async with client() as invoker:
        for tenant in ("ü", "a;b", "x" * 257):
            response = await invoker.post(X_Amz_Tenant_Id=tenant)

            assert response.status_code == 400, tenant
            assert response.headers["X-Amzn-ErrorType"] == "InvalidParameterValueException"


# -- the log


def tail(response: httpx.Response) -> list[str]:
    return base64.b64decode(response.headers["X-Amz-Log-Result"]).decode().splitlines()


async def test_the_log_tail_has_the_lines_of_its_invocation_only() -> None:
    async with client() as invoker:
        await invoker.post(event(do="print", text="before"))
        response = await invoker.post(event(do="print", text="mine"), X_Amz_Log_Type="Tail")
        request_id = response.headers["X-Amzn-RequestId"]

        *told, report = tail(response)
        assert told == [
            f"START RequestId: {request_id} Version: $LATEST",
            "mine",
            f"END RequestId: {request_id}",
        ]
        assert report.startswith(f"REPORT RequestId: {request_id}")


async def test_the_log_tail_is_4_kb_and_begins_with_a_whole_character() -> None:
    async with client() as invoker:
        text = "é" * 5000
        response = await invoker.post(event(do="print", text=text), X_Amz_Log_Type="Tail")

        log = base64.b64decode(response.headers["X-Amz-Log-Result"])
        assert 4095 <= len(log) <= 4096
        assert log.decode().startswith("éé")
        assert "\nREPORT RequestId: " in log.decode()


async def test_the_log_tail_of_a_failed_start_has_the_lines_of_the_start(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("print('importing')\nraise ValueError('no')\n")
    settings = FunctionSettings("app.handler", task_root=tmp_path)
    with trio.fail_after(HANG):
        async with (
            open_local_lambda(settings, output=lambda _: None) as function,
            httpx.AsyncClient(trust_env=False) as http,
        ):
            response = await http.post(function.invoke_url, headers={"X-Amz-Log-Type": "Tail"})

    log = tail(response)
    assert log[0] == "importing"
    assert any("ValueError: no" in line for line in log)
    assert log[-1].startswith("INIT_REPORT ")


async def test_concurrent_invocations_each_get_a_log_tail() -> None:
    async with client(max_concurrency=2) as invoker:
        answers = list[httpx.Response]()

        async def one(text: str) -> None:
            asked = event(do="print", text=text)
            answers.append(await invoker.post(asked, X_Amz_Log_Type="Tail"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, "one")
            nursery.start_soon(one, "two")

        for response in answers:
            text, request_id = response.json()["event"]["text"], response.json()["id"]
            log = tail(response)
            assert {f"START RequestId: {request_id} Version: $LATEST", text} <= {*log}
            assert any(line.startswith(f"REPORT RequestId: {request_id}") for line in log)


async def test_an_unknown_log_type_is_refused() -> None:
    async with client() as invoker:
        response = await invoker.post(X_Amz_Log_Type="Head")

        assert response.status_code == 400
        assert response.headers["X-Amzn-ErrorType"] == "InvalidParameterValueException"


# -- AWS's own client


def with_boto3(url: str, host: str) -> dict[str, Any]:
    """Return what boto3 gets, through a name or an address of this machine."""
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]

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
        ClientContext=encoded('{"custom":{"a":"熾"}}'),
        Payload=event(do="headers"),
    )
    headers = json.load(answer["Payload"])["event"]["headers"]
    dry = aws.invoke_with_response_stream(FunctionName="function:live", InvocationType="DryRun")
    streamed = aws.invoke_with_response_stream(
        FunctionName="012345678912:function:function",
        LogType="Tail",
        Payload=event(do="stream", pieces=2, size=3),
    )
    pieces = list(streamed["EventStream"])
    for opened_stream in (dry["EventStream"], streamed["EventStream"], answer["Payload"]):
        opened_stream.close()
    try:
        aws.invoke(FunctionName="function", Qualifier="7")
    except ClientError as error:
        refused = error.response["Error"]["Code"]
    else:
        refused = ""
    aws.close()
    return {
        "headers": headers,
        "log": base64.b64decode(answer["LogResult"]).decode(),
        "version": answer["ExecutedVersion"],
        "dry": dry["StatusCode"],
        "pieces": b"".join(e["PayloadChunk"]["Payload"] for e in pieces[:-1]),
        "end": pieces[-1]["InvokeComplete"],
        "refused": refused,
    }


async def test_boto3_gets_what_it_asks_for() -> None:
    pytest.importorskip("boto3")
    async with opened() as (function, _):
        for host in ("127.0.0.1", "localhost"):
            check_result(await trio.to_thread.run_sync(with_boto3, function.invoke_url, host))


def check_result(told: dict[str, Any]) -> None:
    assert told["headers"]["lambda-runtime-invoked-function-arn"] == f"{ARN}:live"
    assert told["headers"]["lambda-runtime-aws-tenant-id"] == "blue"
    assert told["log"].startswith("START RequestId: ")
    assert told["version"] == "$LATEST"
    assert told["dry"] == 204
    assert told["pieces"] == b"xxxxxx"
    assert "REPORT RequestId: " in base64.b64decode(told["end"]["LogResult"]).decode()
    assert told["refused"] == "ResourceNotFoundException"
