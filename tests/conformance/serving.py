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
from tests.conformance.players import Stage
from tests.conformance.words import Crash, of_reason, of_start_error, to_reason

Message = Mapping[str, Any]


@attrs.define(eq=False)
class Doer(Server):
    """Does what a message of the scenario says, and logs the message by its `say`."""

    when_stopped = WhenStopped.DRAIN

    stage: Stage
    given: Mapping[str, Any]
    number: int
    kept: dict[str, Reply[Any]] = attrs.Factory(dict)
    at_end: Any = None
    note: str = "nothing"

    @property
    def label(self) -> str:
        return f"s{self.number}"

    def _say(self, text: str) -> None:
        self.stage.log.append(text)

    async def init(self) -> None:
        message = self.given.get("init", {})
        how = message.get("how", "ok")
        if how != "ok":
            self._say(f"{how} {self.label}")
            if how == "hang":
                await trio.sleep_forever()
            raise Ignore if how == "ignore" else Crash("failed")
        self.stage.watch(self.ref, self.label)
        self._say(f"start {self.label}")
        await self.act(message)

    async def called(self, message: Message) -> object:
        self._say(f"call {message['say']}")
        return await self.act(message)

    async def was_cast(self, message: Message) -> None:
        self._say(f"cast {message['say']}")
        await self.act(message)

    async def handle_info(self, message: Any) -> None:
        if message is TIMEOUT:
            self._say("timeout")
        else:
            self._say(f"info {message['say']}")
            await self.act(message)

    async def handle_continue(self, continuation: Message) -> None:
        self._say(f"continue {continuation['say']}")
        await self.act(continuation)

    async def terminate(self, reason: ExitReason) -> None:
        self._say(f"term {self.label} {of_reason(reason)}")
        self.stage.last[self._process] = self.stage.log[-1]
        if self.at_end == "raise":
            raise Crash("y")
        if self.at_end is not None:
            await trio.sleep(self.at_end / 1000)
            self._say(f"done {self.label}")

    async def act(self, message: Message) -> object:
        """What the method does and returns."""
        if "sleep" in message:
            await trio.sleep(message["sleep"] / 1000)
            self._say(f"done {message['say']}")
        if "at_end" in message:
            self.at_end = message["at_end"]
        if "note" in message:
            self.note = message["note"]
        if "raise" in message:
            raise Crash(message["raise"])
        if "call" in message:
            await self.ref.call(Doer.called, message)
        if "give" in message:
            self.kept[message["give"]].send(message["value"])
        if "later" in message:
            self.kept[message["later"]] = self.reply_later()
            return NO_REPLY
        if "stop" in message:
            self._end(to_reason(message["stop"]), message)
        if "continue" in message:
            self.continue_with(message["continue"])
        if "timeout" in message:
            self.timeout_after(message["timeout"] / 1000)
        return message.get("reply")

    def _end(self, reason: ExitReason, message: Message) -> None:
        if "reply" in message:
            raise Exit(reason, reply=message["reply"])
        raise reason.error or Exit(reason)


class CutDoer(Doer):
    when_stopped = WhenStopped.CUT


@attrs.define(eq=False)
class Watcher(Server):
    """Says what a monitor brings, and who bears the name then."""

    stage: Stage
    watched: Ref[Doer]

    async def init(self) -> None:
        self.monitor(self.watched)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Down)
        bearer = self.stage.whereis("s")
        self.stage.log.append(f"DOWN {of_reason(message.reason)}, name {bearer}")


@attrs.define(eq=False)
class Service:
    """The steps of a scenario about a server."""

    stage: Stage
    nursery: trio.Nursery
    given: Mapping[str, Any]

    @property
    def server(self) -> Ref[Doer]:
        return self.stage.refs["s"]

    async def perform(self, step: list[Any]) -> object:
        match step:
            case ["start_link", *_]:
                return await self.nursery.start(self._parent)
            case ["call", message, *timeout]:
                with trio.move_on_after(timeout[0] / 1000 if timeout else float("inf")):
                    return await answered(lambda: self.server.call(Doer.called, message))
                return "exit timeout"
            case ["requests", *messages]:
                asked = [await self._request(each) for each in messages]
                return [await answered(each) for each in asked]
            case ["cast", message]:
                return await told(lambda: self.server.cast(Doer.was_cast, message))
            case ["info", message]:
                return await told(lambda: self.server.send(message))
            case ["monitor"]:
                return await told(lambda: self._watch(self.server))
            case ["gen_server:stop", word]:
                reason = to_reason(word)
                ended = await stop(self.server, reason)
                return "ok" if ended == reason else f"exit {of_reason(ended)}"
            case ["sys:suspend"]:
                return await told(lambda: debug.suspend(self.server)) or "ok"
            case ["sys:resume"]:
                return await told(lambda: debug.resume(self.server)) or "ok"
            case ["sys:get_state"]:
                return await answered(lambda: self._note(lambda: debug.get_state(self.server)))
            case ["sys:replace_state", note]:
                return await self._replace(note)
            case ["stop"]:
                return of_reason(await stop(self.server))
            case _:
                raise AssertionError(step)

    async def _request(self, message: Message) -> Callable[[], Awaitable[object]]:
        """Ask, and give what waits for the result; the server may have ended in between."""
        try:
            return (await self.server.request(Doer.called, message)).result
        except ActorExited:
            return lambda: self.server.call(Doer.called, message)

    async def _note(self, state: Callable[[], Awaitable[dict[str, Any]]]) -> object:
        """Of its state no more is seen than what it was told to note."""
        return (await state())["note"]

    async def _replace(self, note: str) -> str:
        def change(_: dict[str, Any]) -> dict[str, Any]:
            if note == "raise":
                raise Crash("y")
            return {"note": note}

        try:
            return await answered(
                lambda: self._note(lambda: debug.replace_state(self.server, change))
            )
        except Crash:
            return "raised"

    async def _parent(self, task_status: trio.TaskStatus[object]) -> None:
        """Whoever starts it, and is not taken along."""
        try:
            async with trio.open_nursery() as nursery:
                ref = await start(
                    nursery,
                    self._make,
                    name=Name("s", Doer) if self.given.get("registered") else None,
                    path="s",
                    timeout=self.given.get("start_timeout", 60_000) / 1000,
                )
                task_status.started(f"ok {self.stage.label(ref)}")
        except* StartError as failures:
            (failure,) = failures.exceptions
            assert isinstance(failure, StartError)
            task_status.started(of_start_error(failure))
        except* AlreadyRegistered as taken:
            (error,) = taken.exceptions
            assert isinstance(error, AlreadyRegistered)
            task_status.started(f"error {{already_started,{self.stage.label(error.ref)}}}")
        except* Exception:
            pass  # the end of the server, which the log tells of

    def _make(self) -> Doer:
        kind = Doer if self.given.get("trap_exit", True) else CutDoer
        return kind(self.stage, self.given, self.stage.next("s"))

    async def _watch(self, watched: Ref[Doer]) -> None:
        await start(self.nursery, lambda: Watcher(self.stage, watched))


async def answered(ask: Callable[[], Awaitable[object]]) -> str:
    """What a caller is told."""
    try:
        return f"ok {await ask()}"
    except ActorExited as exited:
        return f"exit {of_reason(exited.reason)}"


async def told(tell: Callable[[], Awaitable[object]]) -> str | None:
    """What somebody is told who wants no answer."""
    try:
        await tell()
    except ActorExited as exited:
        return f"exit {of_reason(exited.reason)}"
    return None
