"""Perform the steps of a scenario on okibi and record the result of each step.

The counterpart of `otp/erlang/scenario.erl`, on trio's mock clock. After each step, all tasks run
until all wait. While a call waits for its reply, the replay first releases the children that delay
the reply (a slow init). Only when none is left, the clock advances.
"""

from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

import attrs
import outcome
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Ref, StartError
from okibi.supervisors import (
    Application,
    ApplicationController,
    ApplicationFailed,
    DynamicSupervisor,
    SpecError,
    Supervisor,
    SupervisorGaveUp,
    SupervisorSpec,
    start_applications,
)
from tests.conformance.otp_terms import (
    format_reason,
    format_refusal,
    format_reply,
    format_start_error,
    parse_reason,
)
from tests.conformance.scenario_children import (
    ScenarioRecord,
    make_child,
    make_dynamic_child,
    make_start,
    make_supervisor_spec,
    parse_flags,
    start_top,
)
from tests.conformance.scenarios import Line, Scenario, to_text
from tests.conformance.scripted_machine import MachineSteps
from tests.conformance.scripted_server import ServerSteps

LIMIT = 1000.0


@attrs.define
class PendingCall:
    """A call that may not have returned yet."""

    task: Callable[[], Awaitable[object]]
    answer: "outcome.Outcome[object] | None" = None
    done: trio.Event = attrs.Factory(trio.Event)

    async def ask(self) -> None:
        self.answer = await outcome.acapture(self.task)
        self.done.set()


@attrs.define(eq=False)
class Replay:
    """One run of a scenario."""

    scenario: Scenario
    nursery: trio.Nursery
    clock: MockClock
    record: ScenarioRecord = attrs.Factory(ScenarioRecord)
    top: Ref[Any] | None = None
    controller: Ref[ApplicationController] | None = None

    async def lines(self) -> list[Line]:
        steps = [["start_link"], *self.scenario.given.get("steps", ())]
        lines = [await self._perform(step) for step in steps]
        self.record.release()
        self.clock.autojump_threshold = 0
        self.nursery.cancel_scope.cancel()
        return lines

    async def _perform(self, step: list[Any]) -> Line:
        reply = await self._step(step)
        await wait_all_tasks_blocked()
        log = self.record.take_log()
        if self.scenario.simple:
            reply, log = sort_unordered(without_ids(reply)), sort_unordered(log)
        return [step, reply, "; ".join(log)]

    # -- steps

    async def _step(self, step: list[Any]) -> object:
        match step:
            case ["meanwhile", first, *others]:
                pending = self._start_call(first)
                await wait_all_tasks_blocked()
                replies = []
                for other in others:
                    replies.append(await self._step(other))
                    await wait_all_tasks_blocked()
                return [await self._wait_for_reply(pending), *replies]
            case ["exit", who, reason]:
                self.record.cast_exit(who, parse_reason(reason))
            case ["kill", who]:
                self.record.refs[who].kill()
            case ["sleep", int(milliseconds)]:
                await self._advance_clock(trio.sleep, milliseconds / 1000)
            case ["sleep", _]:
                pass  # for OTP, whose clock has whole seconds
            case ["register", name]:
                await self.record.start_unrelated(self.nursery, name)
            case ["whereis", name]:
                return self.record.whereis(name)
            case ["check_childspecs", specs, *auto]:
                return check_spec(lambda: make_supervisor_spec(self.record, specs, auto))
            case ["check_flags", flags]:
                return check_spec(lambda: SupervisorSpec((), **parse_flags(flags)))
            case _:
                return await self._wait_for_reply(self._start_call(step))
        return None

    def _start_call(self, step: list[Any]) -> PendingCall:
        match step:
            case _ if "server" in self.scenario.given:
                steps = ServerSteps(self.record, self.nursery, self.scenario.given["server"])
                pending = PendingCall(lambda: steps.perform(step))
            case _ if "machine" in self.scenario.given:
                machine = MachineSteps(self.record, self.nursery, self.scenario.given["machine"])
                pending = PendingCall(lambda: machine.perform(step))
            case ["start_link"] if "application" in self.scenario.given:
                pending = PendingCall(self._start_application)
            case ["application:stop"]:
                pending = PendingCall(self._stop_application)
            case ["start_link"]:
                pending = PendingCall(self._start_link)
            case ["stop"]:
                pending = PendingCall(self._stop)
            case [admin, *arguments]:
                pending = PendingCall(lambda: self._admin(admin, arguments))
            case _:
                raise AssertionError(step)
        self.nursery.start_soon(pending.ask)
        return pending

    async def _wait_for_reply(self, pending: PendingCall) -> object:
        await wait_all_tasks_blocked()
        while pending.answer is None and self.record.release():
            await wait_all_tasks_blocked()
        if pending.answer is None:
            with trio.fail_after(LIMIT):
                await self._advance_clock(pending.done.wait)
        assert pending.answer is not None
        return pending.answer.unwrap()

    async def _advance_clock(self, wait: Callable[..., Awaitable[object]], *args: object) -> None:
        """Wait while the clock jumps to the next deadline whenever all tasks wait."""
        self.clock.autojump_threshold = 0
        await wait(*args)
        self.clock.autojump_threshold = float("inf")

    # -- calls

    async def _start_link(self) -> object:
        return await self.nursery.start(self._start_under_parent)

    async def _start_under_parent(self, task_status: trio.TaskStatus[object]) -> None:
        """Own the top supervisor. Its crash does not end the replay."""
        try:
            async with trio.open_nursery() as nursery:
                self.top = await start_top(nursery, self.record, self.scenario.given)
                self.record.watch(self.top, "top")
                task_status.started("ok top")
        except* SupervisorGaveUp:
            pass
        except* StartError as failures:
            (failure,) = failures.exceptions
            assert isinstance(failure, StartError)
            task_status.started(format_start_error(failure))
        except* (SpecError, TypeError) as errors:
            task_status.started(format_refusal(errors.exceptions[0], self.record.label))

    async def _start_application(self) -> object:
        self.record.top = "/applications/app/supervisor"
        app = Application("app", make_start(self.record, self.scenario.given))
        try:
            self.controller = await start_applications(self.nursery, [app])
        except ApplicationFailed as failed:
            return f"error {format_reason(failed.reason)}"
        return "ok"

    async def _stop_application(self) -> object:
        assert self.controller is not None
        await self.controller.call(ApplicationController.stop_application, "app")
        return "ok"

    async def _stop(self) -> object:
        assert self.top is not None
        self.top.stop()
        return format_reason(await self.top.wait())

    async def _admin(self, admin: str, arguments: list[Any]) -> object:
        assert self.top is not None
        kind: type[Any] = DynamicSupervisor if self.scenario.simple else Supervisor
        try:
            method = getattr(kind, admin)
            reply = await self.top.call(method, *self._arguments(admin, arguments))
        except Exception as error:
            return format_refusal(error, self.record.label)
        if isinstance(reply, Ref) and isinstance(arguments[0], str):
            self.record.watch_started_supervisor(reply, arguments[0])
        if reply is None and admin in {"start_child", "restart_child"}:
            return "ok undefined"
        return format_reply(reply, self.record.label)

    def _arguments(self, admin: str, arguments: list[Any]) -> list[object]:
        if admin == "start_child" and self.scenario.simple:
            (common,) = self.scenario.given["children"]
            return [make_dynamic_child(self.record, common, arguments[0])]
        if admin == "start_child":
            return [make_child(self.record, arguments[0])]
        return [
            self.record.refs[each[1:-1]] if each.startswith("<") else each for each in arguments
        ]


def check_spec(make: Callable[[], object]) -> str:
    """Make a spec. Return `ok` or the error."""
    try:
        make()
    except (SpecError, TypeError) as error:
        return format_refusal(error, str)
    return "ok"


def without_ids(reply: Any) -> Any:
    """Drop the ids of listed children: OTP lists none for simple_one_for_one."""
    if isinstance(reply, list) and all(isinstance(each, list) for each in reply):
        return [each[1:] for each in reply]
    return reply


def sort_unordered(words: Any) -> Any:
    """Sort entries without a defined order: listed children, and consecutive ends."""
    if not isinstance(words, list) or (words and isinstance(words[0], int)):
        return words
    runs = [(kind, list(run)) for kind, run in groupby(words, ordering_of)]
    return [
        word
        for kind, run in runs
        for word in (run if kind == "ordered" else sorted(run, key=label_in))
    ]


def ordering_of(word: Any) -> str:
    if isinstance(word, list):
        return "listed"
    match str(word).split(" "):
        case ["down", "top", *_]:
            return "ordered"
        case ["down", *_] | ["term", _, "shutdown"]:
            return "stopped"
        case ["done", *_]:
            return "done"
        case _:
            return "ordered"


def label_in(word: Any) -> str:
    label: str = word[0] if isinstance(word, list) else word.split(" ")[1]
    return label


def replay(scenario: Scenario) -> list[str]:
    """Replay the scenario on okibi. Return one line for each step, as text."""
    return [to_text(line) for line in replay_lines(scenario)]


def replay_lines(scenario: Scenario) -> list[Line]:
    """Replay the scenario on okibi. Return one line for each step, as data."""
    clock = MockClock()

    async def main() -> list[Line]:
        async with trio.open_nursery() as nursery:
            return await Replay(scenario, nursery, clock).lines()
        raise AssertionError("unreachable")

    return trio.run(main, clock=clock)
