"""A StateMachine that does what its messages say.

`otp/erlang/machine.erl` is the same for OTP's gen_statem.
"""

from collections.abc import Mapping
from typing import Any

import attrs
import trio

from okibi.actors import (
    NO_REPLY,
    TIMEOUT,
    Exit,
    ExitReason,
    Reply,
    StateMachine,
    WhenStopped,
)
from tests.conformance.otp_terms import Crash, format_reason, parse_reason
from tests.conformance.scenario_children import ScenarioRecord
from tests.conformance.scripted_server import ServerSteps

Message = Mapping[str, Any]


@attrs.define(eq=False)
class ScriptedMachine(StateMachine[str]):
    """Logs each message by its `say`, with the state, and does what the message says."""

    when_stopped = WhenStopped.DRAIN
    initial = "closed"

    record: ScenarioRecord
    given: Mapping[str, Any]
    number: int
    pending_replies: dict[str, Reply[Any]] = attrs.Factory(dict)

    @property
    def label(self) -> str:
        return f"s{self.number}"

    def _log(self, text: str) -> None:
        self.record.log.append(text)

    async def init(self) -> None:
        self.record.watch(self.ref, self.label)
        self._log(f"start {self.label}")
        await self._act(self.given.get("init", {}))

    async def enter(self, state: str, previous: str | None) -> None:
        self._log(f"enter {state}" + ("" if previous is None else f" from {previous}"))
        await self._act(self.given.get("enter", {}).get(state, {}))

    async def on_call(self, message: Message) -> object:
        self._log(f"call {message['say']} in {self.state}")
        return await self._act(message)

    async def on_cast(self, message: Message) -> None:
        self._log(f"cast {message['say']} in {self.state}")
        await self._act(message)

    async def on_timeout(self, message: Message) -> None:
        self._log(f"timeout {message['say']} in {self.state}")
        await self._act(message)

    async def handle_info(self, message: Any) -> None:
        if message is TIMEOUT:
            self._log(f"idle in {self.state}")
        else:
            self._log(f"info {message['say']} in {self.state}")
            await self._act(message)

    async def handle_continue(self, continuation: Message) -> None:
        self._log(f"continue {continuation['say']} in {self.state}")
        await self._act(continuation)

    async def terminate(self, reason: ExitReason) -> None:
        self._log(f"term {self.label} {format_reason(reason)}")
        self.record.last_lines[self._process] = self.record.log[-1]

    async def _act(self, message: Message) -> object:
        """Do what the message says, and return the reply."""
        if "sleep" in message:
            await trio.sleep(message["sleep"] / 1000)
            self._log(f"done in {self.state}")
        if "raise" in message:
            raise Crash(message["raise"])
        if "postpone" in message and self.state in message["postpone"]:
            self.change(message.get("postpone_to", self.state))
            self.postpone()
        if "stop" in message:
            reason = parse_reason(message["stop"])
            raise reason.error or Exit(reason)
        if "give" in message:
            self.pending_replies[message["give"]].send(message["value"])
        if "goto" in message:
            self.change(message["goto"])
        if "continue" in message:
            self.continue_with(message["continue"])
        if "timeout" in message:
            milliseconds, content = message["timeout"]
            self.state_timeout(milliseconds / 1000, ScriptedMachine.on_timeout, content)
        if "idle" in message:
            self.timeout_after(message["idle"] / 1000)
        if "later" in message:
            self.pending_replies[message["later"]] = self.reply_later()
            return NO_REPLY
        return message.get("reply")


@attrs.define(eq=False)
class MachineSteps(ServerSteps):
    """Performs the steps of a scenario about a state machine."""

    kind = ScriptedMachine

    def _make(self) -> ScriptedMachine:
        return ScriptedMachine(self.record, self.given, self.record.count_start("s"))
