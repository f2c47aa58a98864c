"""A Server that does what its messages say: what `otp/erlang/server.erl` is to OTP's gen_server."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

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
    """Does what a message of the scenario says, and logs the message by its `say`."""

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
        """What the method does and returns."""
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
    when_stopped = WhenStopped.CUT


@attrs.define(eq=False)
class MonitoringServer(Server):
    """Says what a monitor brings, and who bears the name then."""

    record: ScenarioRecord
    watched: Ref[ScriptedServer]

    async def init(self) -> None:
        self.monitor(self.watched)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Down)
        bearer = self.record.whereis("s")
        self.record.log.append(f"DOWN {format_reason(message.reason)}, name {bearer}")


@attrs.define(eq=False)
class ServerSteps:
    """The steps of a scenario about a server."""

    record: ScenarioRecord
    nursery: trio.Nursery
    given: Mapping[str, Any]

    @property
    def server(self) -> Ref[ScriptedServer]:
        return self.record.refs["s"]

    async def perform(self, step: list[Any]) -> object:
        match step:
            case ["start_link", *_]:
                return await self.nursery.start(self._start_under_parent)
            case ["call", message, *timeout]:
                with trio.move_on_after(timeout[0] / 1000 if timeout else float("inf")):
                    return await describe_call(
                        lambda: self.server.call(ScriptedServer.on_call, message)
                    )
                return "exit timeout"
            case ["requests", *messages]:
                pending = [await self._request(each) for each in messages]
                return [await describe_call(each) for each in pending]
            case ["cast", message]:
                return await describe_cast(
                    lambda: self.server.cast(ScriptedServer.on_cast, message)
                )
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
        """Ask, and give what waits for the result; the server may have ended in between."""
        try:
            return (await self.server.request(ScriptedServer.on_call, message)).result
        except ActorExited:
            return lambda: self.server.call(ScriptedServer.on_call, message)

    async def _read_note(self, state: Callable[[], Awaitable[dict[str, Any]]]) -> object:
        """Of its state no more is seen than what it was describe_cast to note."""
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
        """Whoever starts it, and is not taken along."""
        try:
            async with trio.open_nursery() as nursery:
                ref = await start(
                    nursery,
                    self._make,
                    name=Name("s", ScriptedServer) if self.given.get("registered") else None,
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
            pass  # the end of the server, which the log tells of

    def _make(self) -> ScriptedServer:
        kind = ScriptedServer if self.given.get("trap_exit", True) else CutScriptedServer
        return kind(self.record, self.given, self.record.count_start("s"))

    async def _start_monitor(self, watched: Ref[ScriptedServer]) -> None:
        await start(self.nursery, lambda: MonitoringServer(self.record, watched))


async def describe_call(ask: Callable[[], Awaitable[object]]) -> str:
    """What a caller is describe_cast."""
    try:
        return f"ok {await ask()}"
    except ActorExited as exited:
        return f"exit {format_reason(exited.reason)}"


async def describe_cast(tell: Callable[[], Awaitable[object]]) -> str | None:
    """What somebody is describe_cast who wants no answer."""
    try:
        await tell()
    except ActorExited as exited:
        return f"exit {format_reason(exited.reason)}"
    return None
