"""A Server that does what its messages say.

`otp/erlang/server.erl` is the same for OTP's gen_server.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import attrs
import trio

from okibi.actors import (
    NO_REPLY,
    TIMEOUT,
    ActorExited,
    AlreadyRegistered,
    Down,
    Exit,
    ExitReason,
    Ignore,
    Name,
    Ref,
    Reply,
    Server,
    StartError,
    WhenStopped,
    debug,
    start,
    stop,
)
from tests.conformance.otp_terms import Crash, format_reason, format_start_error, parse_reason
from tests.conformance.scenario_children import ScenarioRecord

Message = Mapping[str, Any]


@attrs.define(eq=False)
class ScriptedServer(Server):
    """Logs each message by its `say`, and does what the message says."""

    when_stopped = WhenStopped.DRAIN

    record: ScenarioRecord
    given: Mapping[str, Any]
    number: int
    pending_replies: dict[str, Reply[Any]] = attrs.Factory(dict)
    when_terminated: Any = None
    note: str = "nothing"

    @property
    def label(self) -> str:
        return f"s{self.number}"

    def _log(self, text: str) -> None:
        self.record.log.append(text)

    async def init(self) -> None:
        message = self.given.get("init", {})
        how = message.get("how", "ok")
        if how != "ok":
            self._log(f"{how} {self.label}")
            if how == "hang":
                await trio.sleep_forever()
            raise Ignore if how == "ignore" else Crash("failed")
        self.record.watch(self.ref, self.label)
        self._log(f"start {self.label}")
        await self.act(message)

    async def on_call(self, message: Message) -> object:
        self._log(f"call {message['say']}")
        return await self.act(message)

    async def on_cast(self, message: Message) -> None:
        self._log(f"cast {message['say']}")
        await self.act(message)

    async def handle_info(self, message: Any) -> None:
        if message is TIMEOUT:
            self._log("timeout")
        else:
            self._log(f"info {message['say']}")
            await self.act(message)

    async def handle_continue(self, continuation: Message) -> None:
        self._log(f"continue {continuation['say']}")
        await self.act(continuation)

    async def terminate(self, reason: ExitReason) -> None:
        self._log(f"term {self.label} {format_reason(reason)}")
        self.record.last_lines[self._process] = self.record.log[-1]
        if self.when_terminated == "raise":
            raise Crash("y")
        if self.when_terminated is not None:
            await trio.sleep(self.when_terminated / 1000)
            self._log(f"done {self.label}")

    async def act(self, message: Message) -> object:
        """Do what the message says, and return the reply."""
        if "sleep" in message:
            await trio.sleep(message["sleep"] / 1000)
            self._log(f"done {message['say']}")
        if "at_end" in message:
            self.when_terminated = message["at_end"]
        if "note" in message:
            self.note = message["note"]
        if "raise" in message:
            raise Crash(message["raise"])
        if "call" in message:
            await self.ref.call(ScriptedServer.on_call, message)
        if "give" in message:
            self.pending_replies[message["give"]].send(message["value"])
        if "later" in message:
            self.pending_replies[message["later"]] = self.reply_later()
            return NO_REPLY
        if "stop" in message:
            self._end(parse_reason(message["stop"]), message)
        if "continue" in message:
            self.continue_with(message["continue"])
        if "timeout" in message:
            self.timeout_after(message["timeout"] / 1000)
        return message.get("reply")

    def _end(self, reason: ExitReason, message: Message) -> None:
        if "reply" in message:
            raise Exit(reason, reply=message["reply"])
        raise reason.error or Exit(reason)


class CutScriptedServer(ScriptedServer):
    """A server that a stop interrupts in the middle of a message."""

    when_stopped = WhenStopped.CUT


@attrs.define(eq=False)
class MonitoringServer(Server):
    """Logs the Down message of a monitor, and the actor registered as s at that time."""

    record: ScenarioRecord
    watched: Ref[ScriptedServer]

    async def init(self) -> None:
        self.monitor(self.watched)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Down)
        registered = self.record.whereis("s")
        self.record.log.append(f"DOWN {format_reason(message.reason)}, name {registered}")


@attrs.define(eq=False)
class ServerSteps:
    """Performs the steps of a scenario about a server, or about an actor like one."""

    # The class of the actor, with `on_call` and `on_cast`.
    kind: ClassVar[Any] = ScriptedServer

    record: ScenarioRecord
    nursery: trio.Nursery
    given: Mapping[str, Any]

    @property
    def server(self) -> Ref[Any]:
        return self.record.refs["s"]

    async def perform(self, step: list[Any]) -> object:
        match step:
            case ["start_link", *_]:
                return await self.nursery.start(self._start_under_parent)
            case ["call", message, *timeout]:
                with trio.move_on_after(timeout[0] / 1000 if timeout else float("inf")):
                    return await describe_call(lambda: self.server.call(self.kind.on_call, message))
                return "exit timeout"
            case ["requests", *messages]:
                pending = [await self._request(each) for each in messages]
                return [await describe_call(each) for each in pending]
            case ["cast", message]:
                return await describe_cast(lambda: self.server.cast(self.kind.on_cast, message))
            case ["info", message]:
                return await describe_cast(lambda: self.server.send(message))
            case ["monitor"]:
                return await describe_cast(lambda: self._start_monitor(self.server))
            case ["gen_server:stop", word]:
                reason = parse_reason(word)
                ended = await stop(self.server, reason)
                return "ok" if ended == reason else f"exit {format_reason(ended)}"
            case ["sys:suspend"]:
                return await describe_cast(lambda: debug.suspend(self.server)) or "ok"
            case ["sys:resume"]:
                return await describe_cast(lambda: debug.resume(self.server)) or "ok"
            case ["sys:get_state"]:
                return await describe_call(
                    lambda: self._read_note(lambda: debug.get_state(self.server))
                )
            case ["sys:replace_state", note]:
                return await self._replace_note(note)
            case ["stop"]:
                return format_reason(await stop(self.server))
            case _:
                raise AssertionError(step)

    async def _request(self, message: Message) -> Callable[[], Awaitable[object]]:
        """Send a request, and return a function that waits for the result.

        If the server has ended, the function is a call, which raises the same error.
        """
        try:
            return (await self.server.request(self.kind.on_call, message)).result
        except ActorExited:
            return lambda: self.server.call(self.kind.on_call, message)

    async def _read_note(self, state: Callable[[], Awaitable[dict[str, Any]]]) -> object:
        """Return the field `note` of the state: the scenario knows no other field."""
        return (await state())["note"]

    async def _replace_note(self, note: str) -> str:
        def change(_: dict[str, Any]) -> dict[str, Any]:
            if note == "raise":
                raise Crash("y")
            return {"note": note}

        try:
            return await describe_call(
                lambda: self._read_note(lambda: debug.replace_state(self.server, change))
            )
        except Crash:
            return "raised"

    async def _start_under_parent(self, task_status: trio.TaskStatus[object]) -> None:
        """Start and own the server. Its crash does not end the scenario."""
        try:
            async with trio.open_nursery() as nursery:
                ref = await start(
                    nursery,
                    self._make,
                    name=Name("s", self.kind) if self.given.get("registered") else None,
                    path="s",
                    timeout=self.given.get("start_timeout", 60_000) / 1000,
                )
                task_status.started(f"ok {self.record.label(ref)}")
        except* StartError as failures:
            (failure,) = failures.exceptions
            assert isinstance(failure, StartError)
            task_status.started(format_start_error(failure))
        except* AlreadyRegistered as taken:
            (error,) = taken.exceptions
            assert isinstance(error, AlreadyRegistered)
            task_status.started(f"error {{already_started,{self.record.label(error.ref)}}}")
        except* Exception:
            pass  # the log has the end of the server

    def _make(self) -> Server:
        kind = ScriptedServer if self.given.get("trap_exit", True) else CutScriptedServer
        return kind(self.record, self.given, self.record.count_start("s"))

    async def _start_monitor(self, watched: Ref[ScriptedServer]) -> None:
        await start(self.nursery, lambda: MonitoringServer(self.record, watched))


async def describe_call(call: Callable[[], Awaitable[object]]) -> str:
    """Call, and return the reply or the reason that the caller gets, as text."""
    try:
        return f"ok {await call()}"
    except ActorExited as exited:
        return f"exit {format_reason(exited.reason)}"


async def describe_cast(send: Callable[[], Awaitable[object]]) -> str | None:
    """Send, and return the reason that the sender gets, or None."""
    try:
        await send()
    except ActorExited as exited:
        return f"exit {format_reason(exited.reason)}"
    return None
