"""No secret leaves the process at any end of an actor: all output is searched.

Secrets are in an actor's fields, messages and replies, and in the texts of its exceptions if its
`format_status` hides the reason.
"""

import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NO_REPLY,
    ActorExited,
    CallCycle,
    Down,
    Exit,
    ExitReason,
    Group,
    MailboxFull,
    MailboxPolicy,
    Name,
    Refusal,
    Reply,
    ReplyLost,
    Secret,
    Server,
    StartError,
    Status,
    WhenFull,
    crashed,
    debug,
    shutdown,
    start,
    stop,
)
from okibi.local import RuntimeApi, local_lambda
from okibi.runtime.errors.error_response import handler_error, init_error
from okibi.runtime.logs.json_format import JsonFormatter
from okibi.supervisors import (
    Child,
    Restart,
    Supervisor,
    SupervisorSpec,
    TaskStream,
    TaskSupervisor,
    TaskSupervisorSpec,
    snapshot,
    stop_report,
    supervise,
)
from tests.limits import HANG
from tests.support.sandbox import running

SSN, PASSWORD, TOKEN = "078-05-1120", "hunter2", "tok-9f8e7d"
SECRETS = (SSN, PASSWORD, TOKEN)
CARD = {"ssn": SSN, "password": PASSWORD, "nested": [(TOKEN,)]}


class SecretError(Exception):
    """Contains a secret if the actor's `format_status` hides the reason."""


@attrs.define(eq=False)
class Payments(Server):
    """Has secrets everywhere, and ends in the requested way."""

    ssn: str = SSN
    password: str = PASSWORD
    api_token: str = TOKEN
    card: dict[str, Any] = attrs.Factory(lambda: dict(CARD))
    kept: list[Any] = attrs.Factory(list)
    says: str = ""
    gate: trio.Event = attrs.Factory(trio.Event)

    def _error(self) -> Exception:
        error = SecretError(self.says) if self.says else SecretError()
        if self.says:
            error.add_note(self.says)
            error.__cause__ = KeyError(self.says)
        return error

    async def crash(self, ssn: str, *, password: str, card: object = None) -> str:
        raise self._error()

    async def crash_beside(self, ssn: str, *, password: str) -> None:
        async def fail() -> None:
            raise self._error()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(fail)

    async def leave(self, ssn: str, *, password: str) -> None:
        raise Exit(ExitReason("crashed", (ssn, password)))

    async def leave_with_words(self, ssn: str, *, password: str) -> None:
        raise Exit(ExitReason("crashed", f"{ssn} is no customer"))

    async def leave_quietly(self, ssn: str, *, password: str) -> None:
        raise Exit(shutdown(self.says or {"ssn": ssn}))

    async def refuse(self, ssn: str, *, password: str) -> None:
        raise Refusal("no")

    async def echo(self, ssn: str, *, password: str) -> tuple[str, str]:
        return ssn, password

    async def hang(self, ssn: str, *, password: str) -> None:
        await trio.sleep_forever()

    async def go_on(self, ssn: str, *, password: str) -> None:
        self.continue_with((ssn, password))

    async def lose(self, ssn: str, *, password: str) -> Any:
        self.reply_later()
        return NO_REPLY

    async def put_off(self, ssn: str, *, password: str) -> Any:
        reply: Reply[str] = self.reply_later()
        self.kept.append(reply)
        self.send_after(1, reply)
        return NO_REPLY

    async def call_back(self, ssn: str, *, password: str) -> None:
        await self.ref.call(type(self).echo, ssn, password=password)

    async def handle_continue(self, continuation: Any) -> None:
        raise self._error()

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Reply):
            message.send(SSN)
        elif message != "stay":
            raise self._error()


SAYS = Name("payments", Payments)
GROUP = Group("group", Payments)


class Marked(Payments):
    """A Payments with marked secrets."""

    ssn: Secret[str]
    card: Annotated[dict[str, Any], "of a customer"] | Secret[str]  # type: ignore[assignment]

    async def crash(self, ssn: Secret[str], *, password: str, card: Secret[object] = None) -> str:
        raise self._error()


class Discreet(Payments):
    """A Payments whose `format_status` hides everything."""

    def format_status(self, status: Status) -> Status:
        gone = None if status.reason is None else "it failed"
        return attrs.evolve(status, state={}, message="a message", reply="a reply", reason=gone)


class Formal(Payments):
    """A Payments whose `format_status` replaces the reason."""

    def format_status(self, status: Status) -> Status:
        gone = None if status.reason is None else crashed(ValueError("it failed"))
        return attrs.evolve(status, reason=gone)


class Broken(Payments):
    """A Payments whose `format_status` raises an error that contains a secret."""

    def format_status(self, status: Status) -> Status:
        raise RuntimeError(SSN)


class Exiting(Payments):
    def format_status(self, status: Status) -> Status:
        raise SystemExit(SSN)


KINDS: dict[str, tuple[type[Payments], str]] = {
    "types": (Payments, ""),
    "marks": (Marked, ""),
    "format_status": (Discreet, SSN),
    "a reason of its own": (Formal, SSN),
    "a format_status that crashes": (Broken, SSN),
    "a format_status that exits": (Exiting, SSN),
}
KIND = pytest.mark.parametrize("kind", KINDS)


class Output:
    """Collects everything that has left the process."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.texts: list[str] = []

    def raised(self, error: BaseException) -> None:
        """Add an exception in every form in which a caller may show it."""
        outcome, init = handler_error(error, "id"), init_error(error)
        printed = "".join(traceback.format_exception(error))
        told = outcome.body, outcome.cause, outcome.error_type, init.message, init.stack
        self.texts += [str(error), repr(error), printed, repr(told)]

    def shown(self, value: object) -> None:
        self.texts += [str(value), repr(value)]

    def search(self, capsys: pytest.CaptureFixture[str]) -> None:
        text, lines = logging.Formatter("%(message)s"), JsonFormatter()
        for record in self._caplog.records:
            self.texts += [text.format(record), lines.format(record)]
            self.texts += [repr(record.__dict__.get("report"))]
        for each in self.texts + list(capsys.readouterr()):
            assert not [secret for secret in SECRETS if secret in each], each


@asynccontextmanager
async def raises(output: Output, *kinds: type[BaseException]) -> AsyncIterator[None]:
    try:
        yield
    except kinds as error:
        output.raised(error)
    else:
        pytest.fail("nothing was raised")


GIVEN: Any = {"password": PASSWORD}
Scenario = Callable[[Output, type[Payments], str], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(act: Scenario) -> Scenario:
    SCENARIOS[act.__name__] = act
    return act


@asynccontextmanager
async def tree(kind: type[Payments], says: str, **spec: Any) -> AsyncIterator[Any]:
    """A tree with one actor, traced and logged."""
    async with trio.open_nursery() as nursery:
        child = Child(lambda: kind(says=says), name=SAYS, **spec)
        top = await supervise(nursery, SupervisorSpec([child], intensity=9), path="/top")
        await debug.trace(SAYS)
        await debug.log(SAYS, 9)
        yield top
        top.stop()


def scenario_of(method: Any, *kinds: type[BaseException]) -> Scenario:
    async def act(output: Output, kind: type[Payments], says: str) -> None:
        async with tree(kind, says) as top:
            ref, named = SAYS.process(), getattr(kind, method.__name__)
            output.shown(await debug.get_status(SAYS))
            async with raises(output, *kinds):
                with trio.fail_after(HANG):
                    await SAYS.call(named, SSN, **GIVEN)
            output.shown(snapshot(top))
            output.shown(ref.life.reason)
            await trio.sleep(1)
            await SAYS.cast(named, SSN, **GIVEN)
            await trio.sleep(1)
            with trio.move_on_after(1):  # a hanging actor does not reply
                output.shown(await debug.get_status(SAYS))
                output.shown(await debug.log(SAYS))
        output.shown(stop_report(top))

    SCENARIOS[method.__name__] = act
    return act


scenario_of(Payments.crash, ActorExited)
scenario_of(Payments.crash_beside, ActorExited)
scenario_of(Payments.leave, ActorExited)
scenario_of(Payments.leave_with_words, ActorExited)
scenario_of(Payments.leave_quietly, ActorExited)
scenario_of(Payments.refuse, Refusal)
scenario_of(Payments.hang, trio.TooSlowError)
scenario_of(Payments.call_back, ActorExited)
scenario_of(Payments.lose, ReplyLost)


@scenario
async def a_crash_in_init(output: Output, kind: type[Payments], says: str) -> None:
    class Unready(kind):  # type: ignore[misc,valid-type]
        async def init(self) -> None:
            raise self._error()

    async with trio.open_nursery() as nursery:
        async with raises(output, StartError):
            await start(nursery, lambda: Unready(says=says))
        top = await supervise(nursery, SupervisorSpec([]))
        spec: Child[Any] = Child(lambda: Unready(says=says), id="unready")
        async with raises(output, Refusal):
            await top.call(Supervisor.start_child, spec)
        top.stop()


@scenario
async def a_crash_in_handle_info(output: Output, kind: type[Payments], says: str) -> None:
    async with tree(kind, says):
        pending = await SAYS.request(Payments.hang, SSN, **GIVEN)
        output.shown(pending)
    async with tree(kind, says):
        SAYS.send_nowait(CARD)
        unread = await SAYS.request(Payments.echo, SSN, **GIVEN)
        async with raises(output, ActorExited):
            await unread.result()
        output.shown(unread)


@scenario
async def a_crash_in_handle_continue(output: Output, kind: type[Payments], says: str) -> None:
    async with tree(kind, says) as top:
        await SAYS.call(Payments.go_on, SSN, **GIVEN)
        await trio.sleep(1)
        output.shown(snapshot(top))


@scenario
async def a_crash_in_terminate(output: Output, kind: type[Payments], says: str) -> None:
    class Untidy(kind):  # type: ignore[misc,valid-type]
        async def terminate(self, reason: ExitReason) -> None:
            raise self._error()

    async with tree(Untidy, says), raises(output, ActorExited):
        await SAYS.call(Payments.crash, SSN, **GIVEN)
    async with trio.open_nursery() as nursery:
        async with raises(output, ExceptionGroup), trio.open_nursery() as linked:
            await stop(await start(linked, lambda: Untidy(says=says)))
        nursery.cancel_scope.cancel()


@scenario
async def a_terminate_that_does_not_end(output: Output, kind: type[Payments], says: str) -> None:
    class Slow(kind):  # type: ignore[misc,valid-type]
        async def terminate(self, reason: ExitReason) -> None:
            await trio.sleep_forever()

    async with tree(Slow, says) as top:
        pending = await SAYS.request(Payments.crash, SSN, **GIVEN)
        await wait_all_tasks_blocked()
        # The actor is ending: calls are refused with the reason.
        async with raises(output, ActorExited):
            await SAYS.call(Payments.echo, SSN, **GIVEN)
        output.shown(snapshot(top))
        async with raises(output, ActorExited):
            await pending.result()


@scenario
async def a_kill(output: Output, kind: type[Payments], says: str) -> None:
    async with tree(kind, says) as top:
        pending = await SAYS.request(Payments.hang, SSN, **GIVEN)
        await wait_all_tasks_blocked()
        output.shown(snapshot(top))
        SAYS.process().kill()
        async with raises(output, ActorExited):
            await pending.result()


@scenario
async def a_mailbox_that_is_full(output: Output, kind: type[Payments], says: str) -> None:
    for policy in WhenFull:

        class Small(kind):  # type: ignore[misc,valid-type]
            mailbox = MailboxPolicy(1, policy)

            async def init(self) -> None:
                GROUP.join(self.ref)

        async with tree(Small, says) as top:
            SAYS.cast_nowait(Payments.hang, SSN, **GIVEN)
            await wait_all_tasks_blocked()
            first = await SAYS.request(Payments.echo, SSN, **GIVEN)
            if policy is WhenFull.DROP_OLDEST:
                await SAYS.cast(Payments.echo, SSN, **GIVEN)
                await SAYS.send(CARD)
                async with raises(output, MailboxFull):
                    await first.result()
            else:
                for send in (SAYS.cast_nowait, SAYS.send_nowait):
                    async with raises(output, MailboxFull):
                        if send == SAYS.send_nowait:
                            SAYS.send_nowait(SSN)
                        else:
                            SAYS.cast_nowait(Payments.echo, SSN, **GIVEN)
                await GROUP.dispatch(Payments.echo, SSN, **GIVEN)
            output.shown(snapshot(top))


@scenario
async def a_circle_of_calls(output: Output, kind: type[Payments], says: str) -> None:
    other = Name("other", Payments)

    class Second(kind):  # type: ignore[misc,valid-type]
        async def echo(self, ssn: str, *, password: str) -> Any:
            with pytest.raises(CallCycle) as circle:
                await SAYS.call(Payments.echo, ssn, password=password)
            output.raised(circle.value)

    class First(kind):  # type: ignore[misc,valid-type]
        async def hang(self, ssn: str, *, password: str) -> None:
            await other.call(Payments.echo, ssn, password=password)

    async with trio.open_nursery() as nursery:
        second = await start(nursery, lambda: Second(says=says), name=other)
        async with tree(First, says):
            await SAYS.call(Payments.hang, SSN, **GIVEN)
        second.stop()


@scenario
async def a_message_that_fits_no_method(output: Output, kind: type[Payments], says: str) -> None:
    async with tree(kind, says):
        for given in ((SSN, TOKEN), ()):
            async with raises(output, TypeError):
                await SAYS.call(Payments.echo, *given, **GIVEN)
            await SAYS.cast(Payments.echo, *given, **GIVEN)
        async with raises(output, TypeError):
            await SAYS.call(SSN)  # type: ignore[arg-type]
        await SAYS.call(Payments.echo, SSN, **GIVEN)


@scenario
async def a_late_reply(output: Output, kind: type[Payments], says: str) -> None:
    async with tree(kind, says) as top:
        with trio.move_on_after(0.5):
            await SAYS.call(Payments.put_off, SSN, **GIVEN)
        output.shown(snapshot(top))
        await trio.sleep(1)
        output.shown(await debug.log(SAYS))


@scenario
async def a_supervisor_that_gives_up(output: Output, kind: type[Payments], says: str) -> None:
    async with raises(output, ExceptionGroup), trio.open_nursery() as nursery:
        inner = SupervisorSpec([Child(lambda: kind(says=says), name=SAYS)], intensity=0, period=1)
        tree = SupervisorSpec([Child(inner, id="inner", restart=Restart.PERMANENT)], intensity=0)
        await supervise(nursery, tree, path="/top")
        with trio.CancelScope(shield=True):
            async with raises(output, ActorExited):
                await SAYS.call(Payments.crash, SSN, **GIVEN)
        await trio.sleep(5)


@scenario
async def a_monitor_and_a_nursery(output: Output, kind: type[Payments], says: str) -> None:
    class Watcher(Server):
        async def watch(self) -> None:
            self.monitor(SAYS)

        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Down)
            output.shown(message)
            if message.reason.error is not None:
                output.raised(message.reason.error)

    async with trio.open_nursery() as outer:
        watcher = await start(outer, Watcher)
        async with raises(output, ExceptionGroup), trio.open_nursery() as nursery:
            await start(nursery, lambda: kind(says=says), name=SAYS)
            with trio.CancelScope(shield=True):
                await watcher.call(Watcher.watch)
                async with raises(output, ActorExited):
                    await SAYS.call(Payments.crash, SSN, card=CARD, **GIVEN)
        await wait_all_tasks_blocked()
        watcher.stop()


@scenario
async def a_task(output: Output, kind: type[Payments], says: str) -> None:
    async def fail(ssn: str, *, password: str) -> None:
        raise SecretError

    async def last(ssn: str) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        tasks = await supervise(nursery, TaskSupervisorSpec(), path="/tasks")
        start_task: Any = TaskSupervisor.start_task
        await tasks.cast(start_task, fail, SSN, **GIVEN)
        await trio.sleep(1)
        task = await tasks.call(TaskSupervisor.start_task, last, SSN)
        await wait_all_tasks_blocked()
        output.shown(task)
        output.shown(snapshot(tasks))
        task.kill()
        async with raises(output, ActorExited):
            await task.result()
        stream = TaskStream(tasks, last, [SSN], max_concurrency=1, timeout=1)
        async with raises(output, TimeoutError), stream:
            await anext(stream)
        tasks.stop()


@KIND
@pytest.mark.parametrize("way", SCENARIOS)
async def test_no_secret_leaves_the_process_at_any_end_of_an_actor(
    way: str,
    kind: str,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    output = Output(caplog)

    await SCENARIOS[way](output, *KINDS[kind])

    assert output.texts or caplog.records
    output.search(capsys)


@KIND
async def test_marked_and_named_secrets_are_hidden_in_shown_values(
    kind: str,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OKIBI_CRASH_REPORTS", "full")
    output = Output(caplog)

    await a_monitor_and_a_nursery(output, *KINDS[kind])
    await SCENARIOS["crash"](output, *KINDS[kind])

    for record in caplog.records:
        output.texts += [record.getMessage(), JsonFormatter().format(record)]
    told = "".join([*output.texts, *capsys.readouterr()])
    assert PASSWORD not in told
    assert kind != "marks" or SSN not in told
    assert kind != "types" or SSN in told


# -- in a real process


class RecordingApi(RuntimeApi):
    """A Runtime API that keeps every byte from the process."""

    async def serve_connection(self, stream: trio.abc.Stream) -> None:
        await super().serve_connection(RecordingStream(stream))


class RecordingStream(trio.abc.Stream):
    """A stream that keeps what it receives."""

    received = bytearray()

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        RecordingStream.received += data
        return data

    async def send_all(self, data: Any) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every byte that a function's process sends."""
    RecordingStream.received.clear()
    monkeypatch.setattr(local_lambda, "RuntimeApi", RecordingApi)


WAYS = ["look", "crash", "beside", "exit", "beside the handler", "kill", "crash", "time-out"]


@pytest.mark.parametrize("log_format", [pytest.param("Text", marks=pytest.mark.slow), "JSON"])
async def test_no_secret_leaves_a_real_process(recording: None, log_format: str) -> None:
    payloads = list[bytes]()
    environment = {"AWS_LAMBDA_LOG_FORMAT": log_format, "AWS_LAMBDA_LOG_LEVEL": "DEBUG"}
    async with running("private.function", environment=environment, timeout=10) as sandbox:
        for who in ("plain", "discreet", "broken"):
            for way in WAYS:
                payloads.append((await sandbox.invoke({"who": who, "way": way})).payload)

    told = "\n".join(
        [*sandbox.lines, RecordingStream.received.decode(), *map(bytes.decode, payloads)]
    )
    assert [secret for secret in SECRETS if secret in told] == []
    # The searched text contains every kind of output.
    for text in ("no such plan", "Caused by ", "lambda-runtime-function-xray-error-cause", "***"):
        assert text.lower() in told.lower()


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
async def test_no_secret_leaves_a_process_with_a_failed_start(
    recording: None, log_format: str
) -> None:
    environment = {"AWS_LAMBDA_LOG_FORMAT": log_format}
    async with running("private.unready", environment=environment, timeout=10) as sandbox:
        told = await sandbox.ask({"who": "plain", "way": "crash"})

    assert "payments did not start: it failed" in json.dumps(told)
    everything = "\n".join([*sandbox.lines, RecordingStream.received.decode(), json.dumps(told)])
    assert [secret for secret in SECRETS if secret in everything] == []
