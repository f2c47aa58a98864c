"""The operations of the Invoke API: the answer to each request, without HTTP or processes."""

import base64
import json
from collections.abc import Callable

import attrs
import pytest
import trio
import trio.testing

from okibi.local import FunctionSettings, Invocation
from okibi.local.invoke_api.event_stream import CONTENT_TYPE, completion, payload_chunk
from okibi.local.invoke_api.invoke_errors import InvokeError
from okibi.local.invoke_api.invoke_request import LambdaRequest
from okibi.local.invoke_api.operations import InvokeApi, LambdaResponse, error_response, send_stream
from okibi.local.platform.outcomes import InvocationOutcome

ARN = "arn:aws:lambda:us-east-1:012345678912:function:function"
STREAM = "/2021-11-15/functions/function/response-streaming-invocations"
ASYNC = "/2014-11-13/functions/function/invoke-async/"
MB = 1024 * 1024


def path_of(name: str) -> str:
    return f"/2015-03-31/functions/{name}/invocations"


INVOKE = path_of("function")


@attrs.define(eq=False)
class Echo:
    """A function that answers each event with the event."""

    settings: FunctionSettings
    outcome: InvocationOutcome | None = None
    begin: Callable[[Invocation], None] = lambda _: None
    started: list[Invocation] = attrs.field(factory=list[Invocation])

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        self.started.append(invocation)
        self.begin(invocation)
        invocation.outcome = self.outcome or InvocationOutcome(invocation.payload)
        if done is not None:
            done.set()


@attrs.define(eq=False)
class Caller:
    """An Invoke API with functions in memory, and the events that it has queued."""

    function: Echo = attrs.field(factory=lambda: Echo(FunctionSettings("app.handler")))
    queued: list[Invocation] = attrs.field(factory=list[Invocation])

    async def call(
        self,
        path: str = INVOKE,
        headers: dict[str, str] | None = None,
        body: bytes = b"{}",
        method: str = "POST",
    ) -> LambdaResponse | None:
        other = Echo(FunctionSettings("app.handler", name="second"))
        api = InvokeApi({"function": self.function, "second": other}, self._enqueue)
        path, _, query = path.partition("?")
        lines = {name.lower().encode(): text.encode() for name, text in (headers or {}).items()}
        request = LambdaRequest(method, path, query.encode(), lines, body, len(body))
        return await api.respond(request)

    async def invoke(
        self, path: str = INVOKE, headers: dict[str, str] | None = None, body: bytes = b"{}"
    ) -> LambdaResponse:
        response = await self.call(path, headers, body)
        assert response is not None
        return response

    async def _enqueue(self, name: str, invocation: Invocation) -> None:
        assert name == "function"
        self.queued.append(invocation)


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


# -- refused calls


INVALID = (400, "InvalidParameterValueException")
CONTENT = (400, "InvalidRequestContentException")
NOT_FOUND = (404, "ResourceNotFoundException")
TOO_LARGE = (413, "RequestTooLargeException")

BAD_CONTEXTS = [
    encoded('{"custom":{"a":"\0"}}'),
    encoded('{"custom":{"a":"\x1b"}}'),
    encoded('{"custom":{"a":"\x7f"}}'),
    encoded(b'{"custom":{"a":"\xe9"}}'),
    encoded("\0"),
    encoded("not json"),
    encoded('["no object"]'),
    encoded('{"a":1} {"b":2}'),
    "%%",
    "e30",
    "é",
    encoded('{"a":"%s"}' % ("x" * 2700)),
]

REFUSED: list[tuple[str, dict[str, str], bytes, tuple[int, str]]] = [
    (INVOKE, {}, b"not json", CONTENT),
    (INVOKE, {}, b'"\xff"', CONTENT),
    (INVOKE, {}, b"[" * MB + b"]" * MB, CONTENT),
    (INVOKE, {}, b'"%b"' % (b"x" * 6 * MB), TOO_LARGE),
    (INVOKE, {"X-Amz-Invocation-Type": "Event"}, b'"%b"' % (b"x" * MB), TOO_LARGE),
    (INVOKE, {"X-Amz-Invocation-Type": "Later"}, b"{}", INVALID),
    (INVOKE, {"X-Amz-Log-Type": "Head"}, b"{}", INVALID),
    *((INVOKE, {"X-Amz-Tenant-Id": tenant}, b"{}", INVALID) for tenant in ("ü", "a;b", "x" * 257)),
    *((INVOKE, {"X-Amz-Client-Context": each}, b"{}", CONTENT) for each in BAD_CONTEXTS),
    (INVOKE, {"X-Amzn-Trace-Id": "a\x1b"}, b"{}", CONTENT),
    (f"{path_of('function:a')}?Qualifier=b", {}, b"{}", INVALID),
    (f"{INVOKE}?Qualifier=7", {}, b"{}", NOT_FOUND),
    (f"{INVOKE}?Qualifier=no%20name", {}, b"{}", NOT_FOUND),
    (f"{INVOKE}?Qualifier=7", {"X-Amz-Invocation-Type": "DryRun"}, b"{}", NOT_FOUND),
    (STREAM, {}, b"{", CONTENT),
    (STREAM, {"X-Amz-Invocation-Type": "Event"}, b"{}", INVALID),
    (f"{STREAM}?Qualifier=7", {}, b"{}", NOT_FOUND),
    (ASYNC, {}, b"{", CONTENT),
    (ASYNC, {}, b'"%b"' % (b"x" * MB), TOO_LARGE),
]


async def test_a_refused_call_has_aws_s_error_and_starts_nothing() -> None:
    caller = Caller()
    for path, headers, body, expected in REFUSED:
        with pytest.raises(InvokeError) as refused:
            await caller.call(path, headers, body)

        response = error_response(refused.value)
        what = path, headers, body[:9]
        assert (response.status, response.headers["X-Amzn-ErrorType"]) == expected, what
        told = json.loads(response.body)
        assert told["Type"] == "User"
        assert told.get("Message" if expected is NOT_FOUND else "message"), what
    assert caller.function.started == caller.queued == []


MISSING = [
    ("other", f"{ARN[:-8]}other"),
    ("012345678912:function:other", f"{ARN[:-8]}other"),
    (f"{ARN[:-8]}other", f"{ARN[:-8]}other"),
    ("function:7", f"{ARN}:7"),
    ("function2", f"{ARN}2"),
    ("function:live:next", f"{ARN[:-8]}live:next"),
    ("a b", "a b"),
    ("🔥", "🔥"),
]


async def test_another_function_or_version_is_not_found() -> None:
    for name, arn in MISSING:
        with pytest.raises(InvokeError) as refused:
            await Caller().call(path_of(name))

        assert refused.value.error_type == "ResourceNotFoundException"
        assert str(refused.value).startswith(f"Function not found: {arn}")


async def test_an_unknown_function_is_told_which_are_served() -> None:
    with pytest.raises(InvokeError, match=r":other \(served here: function, second\)$"):
        await Caller().call(path_of("other"))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", INVOKE), ("POST", "/2015-03-31/functions"), ("GET", "/2015-03-31/functions/function")],
)
async def test_another_operation_is_left_to_the_server(method: str, path: str) -> None:
    assert await Caller().call(path, method=method) is None


# -- what the function gets


NAMES = [
    ("function", ARN),
    ("function:$LATEST", f"{ARN}:$LATEST"),
    ("function:live", f"{ARN}:live"),
    ("function:live?Qualifier=live", f"{ARN}:live"),
    ("function?Qualifier=live", f"{ARN}:live"),
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
    for name, arn in NAMES:
        caller = Caller()
        name, mark, query = name.partition("?")
        await caller.invoke(path_of(name) + mark + query)

        assert [each.function_arn for each in caller.function.started] == [arn], name


async def test_the_headers_of_a_call_become_fields_of_the_invocation() -> None:
    caller = Caller()
    context = '{"custom":\r\n\t{"a":"熾火\x85"}}'
    headers = {
        "X-Amz-Tenant-Id": "blue-1@a.b",
        "X-Amz-Client-Context": encoded(context),
        "X-Amzn-Trace-Id": "Root=1-2-3",
    }
    await caller.invoke(headers=headers, body=b"[1]")
    await caller.invoke(body=b"")

    told, plain = caller.function.started
    assert (told.payload, told.tenant_id, told.client_context) == (b"[1]", "blue-1@a.b", context)
    assert (told.trace_id, told.timeout, told.log) == ("Root=1-2-3", 3.0, None)
    assert (plain.payload, plain.tenant_id, plain.client_context) == (b"{}", "", "")


# -- answers


async def test_an_answer_has_the_result_and_the_executed_version() -> None:
    caller = Caller()
    response = await caller.invoke(body=b"[1]")

    assert (response.status, response.body) == (200, b"[1]")
    assert response.all_headers() == {
        "Content-Type": "application/json",
        "X-Amzn-RequestId": caller.function.started[0].request_id,
        "X-Amz-Executed-Version": "$LATEST",
    }


async def test_the_error_of_a_function_is_a_function_error() -> None:
    caller = Caller()
    caller.function.outcome = InvocationOutcome(b"broken", "Function.Broke", status=400)
    response = await caller.invoke()

    assert (response.status, response.body) == (400, b"broken")
    assert response.headers["X-Amz-Function-Error"] == "Unhandled"


async def test_the_log_is_returned_once_it_is_complete(
    autojump_clock: trio.testing.MockClock,
) -> None:
    caller = Caller()
    caller.function.begin = begin_late_log
    response = await caller.invoke(headers={"X-Amz-Log-Type": "Tail"})

    assert base64.b64decode(response.headers["X-Amz-Log-Result"]) == b"late\n"


async def test_a_log_that_never_ends_is_returned_1_s_after_the_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    caller = Caller()
    caller.function.begin = begin_now
    before = trio.current_time()
    response = await caller.invoke(headers={"X-Amz-Log-Type": "Tail"})

    assert "X-Amz-Log-Result" not in response.headers
    assert trio.current_time() - before == 4.0


def begin_now(invocation: Invocation) -> None:
    invocation.begun_at = trio.current_time()


def begin_late_log(invocation: Invocation) -> None:
    """Complete the log a second after the answer."""

    async def complete() -> None:
        await trio.sleep(1)
        assert invocation.log is not None
        invocation.log.add("late")
        invocation.log.complete.set()

    begin_now(invocation)
    trio.lowlevel.spawn_system_task(complete)


@pytest.mark.parametrize("path", [INVOKE, STREAM])
async def test_a_dry_run_runs_nothing(path: str) -> None:
    caller = Caller()
    response = await caller.invoke(path, {"X-Amz-Invocation-Type": "DryRun"})

    assert (response.status, response.body, response.stream) == (204, b"", None)
    assert caller.function.started == caller.queued == []


@pytest.mark.parametrize(("path", "body"), [(INVOKE, b""), (ASYNC, b'{"Status":202}')])
async def test_a_queued_event_has_neither_client_context_nor_log(path: str, body: bytes) -> None:
    caller = Caller()
    headers = {
        "X-Amz-Invocation-Type": "Event",
        "X-Amz-Client-Context": encoded('{"a":1}'),
        "X-Amz-Log-Type": "Tail",
    }
    response = await caller.invoke(path, headers, b"[1]")

    assert (response.status, response.body) == (202, body)
    (event,) = caller.queued
    assert (event.payload, event.client_context, event.log) == (b"[1]", "", None)
    assert event.request_id == response.request_id
    assert caller.function.started == []


# -- streams


def write_two_pieces(invocation: Invocation) -> None:
    assert invocation.sink is not None
    invocation.sink.begin("text/x")
    invocation.sink.write(b"one")
    invocation.sink.write(b"two")


@pytest.mark.parametrize("error_type", [None, "Function.Broke"])
async def test_a_stream_is_sent_piece_by_piece_with_its_end(error_type: str | None) -> None:
    caller = Caller()
    caller.function.begin = write_two_pieces
    caller.function.outcome = InvocationOutcome(b"no", error_type)
    response = await caller.invoke(STREAM)
    sent = list[bytes]()

    async def send(data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(data)

    assert (response.status, response.content_type) == (200, CONTENT_TYPE)
    assert response.headers == {"X-Amz-Executed-Version": "$LATEST"}
    assert response.stream is not None
    assert response.request_id == caller.function.started[0].request_id
    response.stream.end()
    await send_stream(response.stream, send)
    result = caller.function.started[0].result()
    assert sent == [payload_chunk(b"one"), payload_chunk(b"two"), completion(result)]
