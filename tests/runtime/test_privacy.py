"""No secret leaves the process, however an actor ends: every byte that leaves it is searched.

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
from okibi.local import RuntimeApi
from okibi.runtime.errors.error_response import handler_error, init_error
from okibi.runtime.telemetry.json_format import JsonLines
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


class Indiscreet(Exception):
    """An error with a secret in its text, which `format_status` must hide."""


@attrs.define(eq=False)
class Payments(Server):
    """An actor full of secrets, which ends in any way it is asked to."""

    ssn: str = SSN
    password: str = PASSWORD
    api_token: str = TOKEN
    card: dict[str, Any] = attrs.Factory(lambda: dict(CARD))
    kept: list[Any] = attrs.Factory(list)
    says: str = ""
    gate: trio.Event = attrs.Factory(trio.Event)

    def _error(self) -> Exception:
        error = Indiscreet(self.says) if self.says else Indiscreet()
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
    """The same with secrets marked by annotations."""

    ssn: Secret[str]
    card: Annotated[dict[str, Any], "of a customer"] | Secret[str]  # type: ignore[assignment]

    async def crash(self, ssn: Secret[str], *, password: str, card: Secret[object] = None) -> str:
        raise self._error()


class Discreet(Payments):
    """The same with a `format_status` that hides everything."""

    def format_status(self, status: Status) -> Status:
        gone = None if status.reason is None else "it failed"
        return attrs.evolve(status, state={}, message="a message", reply="a reply", reason=gone)


class Formal(Payments):
    """The same with a `format_status` that replaces the reason."""

    def format_status(self, status: Status) -> Status:
        gone = None if status.reason is None else crashed(ValueError("it failed"))
        return attrs.evolve(status, reason=gone)


class Broken(Payments):
    """The same with a `format_status` that raises an error with a secret."""

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


class Searched:
    """Collects everything that leaves the process."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.texts: list[str] = []

    def raised(self, error: BaseException) -> None:
        """Collect every form in which a caller may show an exception."""
        outcome, init = handler_error(error, "id"), init_error(error)
        printed = "".join(traceback.format_exception(error))
        told = outcome.body, outcome.cause, outcome.error_type, init.message, init.stack
        self.texts += [str(error), repr(error), printed, repr(told)]

    def shown(self, value: object) -> None:
        self.texts += [str(value), repr(value)]

    def search(self, capsys: pytest.CaptureFixture[str]) -> None:
        text, lines = logging.Formatter("%(message)s"), JsonLines()
        for record in self._caplog.records:
            self.texts += [text.format(record), lines.format(record)]
            self.texts += [repr(record.__dict__.get("report"))]
        for each in self.texts + list(capsys.readouterr()):
            assert not [secret for secret in SECRETS if secret in each], each


@asynccontextmanager
async def raises(searched: Searched, *kinds: type[BaseException]) -> AsyncIterator[None]:
    try:
        yield
    except kinds as error:
        searched.raised(error)
    else:
        pytest.fail("nothing was raised")


GIVEN: Any = {"password": PASSWORD}
Scenario = Callable[[Searched, type[Payments], str], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(act: Scenario) -> Scenario:
    SCENARIOS[act.__name__] = act
    return act


@asynccontextmanager
async def tree(kind: type[Payments], says: str, **spec: Any) -> AsyncIterator[Any]:
    """A tree with such an actor, traced and logged by all debug tools."""
    async with trio.open_nursery() as nursery:
        child = Child(lambda: kind(says=says), name=SAYS, **spec)
        top = await supervise(nursery, SupervisorSpec([child], intensity=9), path="/top")
        await debug.trace(SAYS)
        await debug.log(SAYS, 9)
        yield top
        top.stop()


def scenario_of(method: Any, *kinds: type[BaseException]) -> Scenario:
    async def act(searched: Searched, kind: type[Payments], says: str) -> None:
        async with tree(kind, says) as top:
            ref, named = SAYS.process(), getattr(kind, method.__name__)
            searched.shown(await debug.get_status(SAYS))
            async with raises(searched, *kinds):
                with trio.fail_after(HANG):
                    await SAYS.call(named, SSN, **GIVEN)
            searched.shown(snapshot(top))
            searched.shown(ref.reason)
            await trio.sleep(1)
            await SAYS.cast(named, SSN, **GIVEN)
            await trio.sleep(1)
            with trio.move_on_after(1):  # a hanging actor does not answer
                searched.shown(await debug.get_status(SAYS))
                searched.shown(await debug.log(SAYS))
        searched.shown(stop_report(top))

    SCENARIOS[method.__name__] = act
    return act


scenario_of(Payments.crash, ActorExited)
scenario_of(Payments.crash_beside, ActorExited)
scenario_of(Payments.leave, ActorExited)
scenario_of(Payments.leave_quietly, ActorExited)
scenario_of(Payments.refuse, Refusal)
scenario_of(Payments.hang, trio.TooSlowError)
scenario_of(Payments.call_back, ActorExited)
scenario_of(Payments.lose, ReplyLost)


@scenario
async def a_crash_in_init(searched: Searched, kind: type[Payments], says: str) -> None:
    class Unready(kind):  # type: ignore[misc,valid-type]
        async def init(self) -> None:
            raise self._error()

    async with trio.open_nursery() as nursery:
        async with raises(searched, StartError):
            await start(nursery, lambda: Unready(says=says))
        top = await supervise(nursery, SupervisorSpec([]))
        spec: Child[Any] = Child(lambda: Unready(says=says), id="unready")
        async with raises(searched, Refusal):
            await top.call(Supervisor.start_child, spec)
        top.stop()


@scenario
async def a_crash_in_handle_info(searched: Searched, kind: type[Payments], says: str) -> None:
    async with tree(kind, says):
        pending = await SAYS.request(Payments.hang, SSN, **GIVEN)
        searched.shown(pending)
    async with tree(kind, says):
        SAYS.send_nowait(CARD)
        unread = await SAYS.request(Payments.echo, SSN, **GIVEN)
        async with raises(searched, ActorExited):
            await unread.result()
        searched.shown(unread)


@scenario
async def a_crash_in_handle_continue(searched: Searched, kind: type[Payments], says: str) -> None:
    async with tree(kind, says) as top:
        await SAYS.call(Payments.go_on, SSN, **GIVEN)
        await trio.sleep(1)
        searched.shown(snapshot(top))


@scenario
async def a_crash_in_terminate(searched: Searched, kind: type[Payments], says: str) -> None:
    class Untidy(kind):  # type: ignore[misc,valid-type]
        async def terminate(self, reason: ExitReason) -> None:
            raise self._error()

    async with tree(Untidy, says), raises(searched, ActorExited):
        await SAYS.call(Payments.crash, SSN, **GIVEN)
    async with trio.open_nursery() as nursery:
        async with raises(searched, ExceptionGroup), trio.open_nursery() as linked:
            await stop(await start(linked, lambda: Untidy(says=says)))
        nursery.cancel_scope.cancel()


@scenario
async def a_terminate_that_does_not_end(
    searched: Searched, kind: type[Payments], says: str
) -> None:
    class Slow(kind):  # type: ignore[misc,valid-type]
        async def terminate(self, reason: ExitReason) -> None:
            await trio.sleep_forever()

    async with tree(Slow, says) as top:
        pending = await SAYS.request(Payments.crash, SSN, **GIVEN)
        await wait_all_tasks_blocked()
        # It is dying: what it is asked now is refused with the reason.
        async with raises(searched, ActorExited):
            await SAYS.call(Payments.echo, SSN, **GIVEN)
        searched.shown(snapshot(top))
        async with raises(searched, ActorExited):
            await pending.result()


@scenario
async def a_kill(searched: Searched, kind: type[Payments], says: str) -> None:
    async with tree(kind, says) as top:
        pending = await SAYS.request(Payments.hang, SSN, **GIVEN)
        await wait_all_tasks_blocked()
        searched.shown(snapshot(top))
        SAYS.process().kill()
        async with raises(searched, ActorExited):
            await pending.result()


@scenario
async def a_mailbox_that_is_full(searched: Searched, kind: type[Payments], says: str) -> None:
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
                async with raises(searched, MailboxFull):
                    await first.result()
            else:
                for send in (SAYS.cast_nowait, SAYS.send_nowait):
                    async with raises(searched, MailboxFull):
                        if send == SAYS.send_nowait:
                            SAYS.send_nowait(SSN)
                        else:
                            SAYS.cast_nowait(Payments.echo, SSN, **GIVEN)
                await GROUP.dispatch(Payments.echo, SSN, **GIVEN)
            searched.shown(snapshot(top))


@scenario
async def a_circle_of_calls(searched: Searched, kind: type[Payments], says: str) -> None:
    other = Name("other", Payments)

    class Second(kind):  # type: ignore[misc,valid-type]
        async def echo(self, ssn: str, *, password: str) -> Any:
            with pytest.raises(CallCycle) as circle:
                await SAYS.call(Payments.echo, ssn, password=password)
            searched.raised(circle.value)

    class First(kind):  # type: ignore[misc,valid-type]
        async def hang(self, ssn: str, *, password: str) -> None:
            await other.call(Payments.echo, ssn, password=password)

    async with trio.open_nursery() as nursery:
        second = await start(nursery, lambda: Second(says=says), name=other)
        async with tree(First, says):
            await SAYS.call(Payments.hang, SSN, **GIVEN)
        second.stop()


@scenario
async def a_message_that_fits_no_method(
    searched: Searched, kind: type[Payments], says: str
) -> None:
    async with tree(kind, says):
        for given in ((SSN, TOKEN), ()):
            async with raises(searched, TypeError):
                await SAYS.call(Payments.echo, *given, **GIVEN)
            await SAYS.cast(Payments.echo, *given, **GIVEN)
        async with raises(searched, TypeError):
            await SAYS.call(SSN)  # type: ignore[arg-type]
        await SAYS.call(Payments.echo, SSN, **GIVEN)


@scenario
async def a_late_reply(searched: Searched, kind: type[Payments], says: str) -> None:
    async with tree(kind, says) as top:
        with trio.move_on_after(0.5):
            await SAYS.call(Payments.put_off, SSN, **GIVEN)
        searched.shown(snapshot(top))
        await trio.sleep(1)
        searched.shown(await debug.log(SAYS))


@scenario
async def a_supervisor_that_gives_up(searched: Searched, kind: type[Payments], says: str) -> None:
    async with raises(searched, ExceptionGroup), trio.open_nursery() as nursery:
        inner = SupervisorSpec([Child(lambda: kind(says=says), name=SAYS)], intensity=0, period=1)
        tree = SupervisorSpec([Child(inner, id="inner", restart=Restart.PERMANENT)], intensity=0)
        await supervise(nursery, tree, path="/top")
        with trio.CancelScope(shield=True):
            async with raises(searched, ActorExited):
                await SAYS.call(Payments.crash, SSN, **GIVEN)
        await trio.sleep(5)


@scenario
async def a_monitor_and_a_nursery(searched: Searched, kind: type[Payments], says: str) -> None:
    class Watcher(Server):
        async def watch(self) -> None:
            self.monitor(SAYS)

        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Down)
            searched.shown(message)
            if message.reason.error is not None:
                searched.raised(message.reason.error)

    async with trio.open_nursery() as outer:
        watcher = await start(outer, Watcher)
        async with raises(searched, ExceptionGroup), trio.open_nursery() as nursery:
            await start(nursery, lambda: kind(says=says), name=SAYS)
            with trio.CancelScope(shield=True):
                await watcher.call(Watcher.watch)
                async with raises(searched, ActorExited):
                    await SAYS.call(Payments.crash, SSN, card=CARD, **GIVEN)
        await wait_all_tasks_blocked()
        watcher.stop()


@scenario
async def a_task(searched: Searched, kind: type[Payments], says: str) -> None:
    async def fail(ssn: str, *, password: str) -> None:
        raise Indiscreet

    async def last(ssn: str) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        tasks = await supervise(nursery, TaskSupervisorSpec(), path="/tasks")
        start_task: Any = TaskSupervisor.start_task
        await tasks.cast(start_task, fail, SSN, **GIVEN)
        await trio.sleep(1)
        task = await tasks.call(TaskSupervisor.start_task, last, SSN)
        await wait_all_tasks_blocked()
        searched.shown(task)
        searched.shown(snapshot(tasks))
        task.kill()
        async with raises(searched, ActorExited):
            await task.result()
        stream = TaskStream(tasks, last, [SSN], max_concurrency=1, timeout=1)
        async with raises(searched, TimeoutError), stream:
            await anext(stream)
        tasks.stop()


@KIND
@pytest.mark.parametrize("way", SCENARIOS)
async def test_no_secret_leaves_the_process_however_an_actor_ends(
    way: str,
    kind: str,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    searched = Searched(caplog)

    await SCENARIOS[way](searched, *KINDS[kind])

    assert searched.texts or caplog.records
    searched.search(capsys)


@KIND
async def test_full_crash_reports_hide_marked_and_named_secrets(
    kind: str,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OKIBI_CRASH_REPORTS", "full")
    searched = Searched(caplog)

    await a_monitor_and_a_nursery(searched, *KINDS[kind])
    await SCENARIOS["crash"](searched, *KINDS[kind])

    for record in caplog.records:
        searched.texts += [record.getMessage(), JsonLines().format(record)]
    told = "".join([*searched.texts, *capsys.readouterr()])
    assert PASSWORD not in told
    assert kind != "marks" or SSN not in told
    assert kind != "types" or SSN in told


# -- in a real process


class Overheard(RuntimeApi):
    """A Runtime API that keeps every byte that the process sends."""

    async def serve_connection(self, stream: trio.abc.Stream) -> None:
        await super().serve_connection(Kept(stream))


class Kept(trio.abc.Stream):
    """A stream that keeps what it receives."""

    received = bytearray()

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        Kept.received += data
        return data

    async def send_all(self, data: Any) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


WAYS = ["look", "crash", "beside", "exit", "beside the handler", "kill", "crash", "time-out"]


@pytest.mark.parametrize("log_format", [pytest.param("Text", marks=pytest.mark.slow), "JSON"])
async def test_no_secret_leaves_a_real_process(log_format: str) -> None:
    Kept.received.clear()
    payloads = list[bytes]()
    environment = {"AWS_LAMBDA_LOG_FORMAT": log_format, "AWS_LAMBDA_LOG_LEVEL": "DEBUG"}
    async with running(
        "private.function", environment=environment, api=Overheard(timeout=10)
    ) as sandbox:
        for who in ("plain", "discreet", "broken"):
            for way in WAYS:
                payloads.append((await sandbox.invoke({"who": who, "way": way})).payload)

    told = "\n".join([*sandbox.lines, Kept.received.decode(), *map(bytes.decode, payloads)])
    assert [secret for secret in SECRETS if secret in told] == []
    # The searched text is complete.
    for text in ("no such plan", "Caused by ", "lambda-runtime-function-xray-error-cause", "***"):
        assert text.lower() in told.lower()


@pytest.mark.parametrize("log_format", ["Text", pytest.param("JSON", marks=pytest.mark.slow)])
async def test_no_secret_leaves_a_process_whose_actor_does_not_start(log_format: str) -> None:
    Kept.received.clear()
    environment = {"AWS_LAMBDA_LOG_FORMAT": log_format}
    async with running(
        "private.unready", environment=environment, api=Overheard(timeout=10)
    ) as sandbox:
        told = await sandbox.ask({"who": "plain", "way": "crash"})

    assert "payments did not start: it failed" in json.dumps(told)
    everything = "\n".join([*sandbox.lines, Kept.received.decode(), json.dumps(told)])
    assert [secret for secret in SECRETS if secret in everything] == []
