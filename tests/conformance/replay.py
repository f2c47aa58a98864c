"""Performs a scenario's steps on okibi's supervisor, and writes down what each brings.

It is `otp/erlang/scenario.erl` once more, on trio's mock clock: after a step everybody runs until
all wait; who waits for a reply first lets those go on who hold it up (a slow init), and only then
lets time pass.
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
from tests.conformance.players import (
    Stage,
    child_of,
    dynamic_child,
    flags_of,
    start_of,
    supervision_of,
    top_of,
)
from tests.conformance.scenarios import Line, Scenario, said
from tests.conformance.serving import Service
from tests.conformance.words import of_reason, of_refusal, of_reply, of_start_error, to_reason

LIMIT = 1000.0


@attrs.define
class Asked:
    """A question under way."""

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
    stage: Stage = attrs.Factory(Stage)
    top: Ref[Any] | None = None
    controller: Ref[ApplicationController] | None = None

    async def lines(self) -> list[Line]:
        steps = [["start_link"], *self.scenario.given.get("steps", ())]
        made = [await self._line(step) for step in steps]
        self.stage.release()
        self.clock.autojump_threshold = 0
        self.nursery.cancel_scope.cancel()
        return made

    async def _line(self, step: list[Any]) -> Line:
        reply = await self._step(step)
        await wait_all_tasks_blocked()
        log = self.stage.take()
        if self.scenario.simple:
            reply, log = in_runs(without_ids(reply)), in_runs(log)
        return [step, reply, "; ".join(log)]

    # -- steps

    async def _step(self, step: list[Any]) -> object:
        match step:
            case ["meanwhile", first, *others]:
                asked = self._ask(first)
                await wait_all_tasks_blocked()
                replies = []
                for other in others:
                    replies.append(await self._step(other))
                    await wait_all_tasks_blocked()
                return [await self._answer(asked), *replies]
            case ["exit", who, reason]:
                self.stage.leave(who, to_reason(reason))
            case ["kill", who]:
                self.stage.refs[who].kill()
            case ["sleep", int(milliseconds)]:
                await self._let_pass(trio.sleep, milliseconds / 1000)
            case ["sleep", _]:
                pass  # okibi's clock has no whole seconds
            case ["register", name]:
                await self.stage.stranger(self.nursery, name)
            case ["whereis", name]:
                return self.stage.whereis(name)
            case ["check_childspecs", specs, *auto]:
                return checked(lambda: supervision_of(self.stage, specs, auto))
            case ["check_flags", flags]:
                return checked(lambda: SupervisorSpec((), **flags_of(flags)))
            case _:
                return await self._answer(self._ask(step))
        return None

    def _ask(self, step: list[Any]) -> Asked:
        match step:
            case _ if "server" in self.scenario.given:
                service = Service(self.stage, self.nursery, self.scenario.given["server"])
                asked = Asked(lambda: service.perform(step))
            case ["start_link"] if "application" in self.scenario.given:
                asked = Asked(self._start_application)
            case ["application:stop"]:
                asked = Asked(self._stop_application)
            case ["start_link"]:
                asked = Asked(self._start_link)
            case ["stop"]:
                asked = Asked(self._stop)
            case [admin, *arguments]:
                asked = Asked(lambda: self._admin(admin, arguments))
            case _:
                raise AssertionError(step)
        self.nursery.start_soon(asked.ask)
        return asked

    async def _answer(self, asked: Asked) -> object:
        await wait_all_tasks_blocked()
        while asked.answer is None and self.stage.release():
            await wait_all_tasks_blocked()
        if asked.answer is None:
            with trio.fail_after(LIMIT):
                await self._let_pass(asked.done.wait)
        assert asked.answer is not None
        return asked.answer.unwrap()

    async def _let_pass(self, wait: Callable[..., Awaitable[object]], *args: object) -> None:
        """Wait while time passes as fast as everybody else lets it."""
        self.clock.autojump_threshold = 0
        await wait(*args)
        self.clock.autojump_threshold = float("inf")

    # -- what is asked

    async def _start_link(self) -> object:
        return await self.nursery.start(self._parent)

    async def _parent(self, task_status: trio.TaskStatus[object]) -> None:
        """The top supervisor's parent, which a supervisor that gives up does not take along."""
        try:
            async with trio.open_nursery() as nursery:
                self.top = await top_of(nursery, self.stage, self.scenario.given)
                self.stage.watch(self.top, "top")
                task_status.started("ok top")
        except* SupervisorGaveUp:
            pass
        except* StartError as failures:
            (failure,) = failures.exceptions
            assert isinstance(failure, StartError)
            task_status.started(of_start_error(failure))
        except* (SpecError, TypeError) as errors:
            task_status.started(of_refusal(errors.exceptions[0], self.stage.label))

    async def _start_application(self) -> object:
        self.stage.top = "/applications/app/supervisor"
        app = Application("app", start_of(self.stage, self.scenario.given))
        try:
            self.controller = await start_applications(self.nursery, [app])
        except ApplicationFailed as failed:
            return f"error {of_reason(failed.reason)}"
        return "ok"

    async def _stop_application(self) -> object:
        assert self.controller is not None
        await self.controller.call(ApplicationController.stop_application, "app")
        return "ok"

    async def _stop(self) -> object:
        assert self.top is not None
        self.top.stop()
        return of_reason(await self.top.wait())

    async def _admin(self, admin: str, arguments: list[Any]) -> object:
        assert self.top is not None
        kind: type[Any] = DynamicSupervisor if self.scenario.simple else Supervisor
        try:
            method = getattr(kind, admin)
            reply = await self.top.call(method, *self._arguments(admin, arguments))
        except Exception as error:
            return of_refusal(error, self.stage.label)
        if isinstance(reply, Ref) and isinstance(arguments[0], str):
            self.stage.name_supervisor(reply, arguments[0])
        if reply is None and admin in {"start_child", "restart_child"}:
            return "ok undefined"
        return of_reply(reply, self.stage.label)

    def _arguments(self, admin: str, arguments: list[Any]) -> list[object]:
        if admin == "start_child" and self.scenario.simple:
            (common,) = self.scenario.given["children"]
            return [dynamic_child(self.stage, common, arguments[0])]
        if admin == "start_child":
            return [child_of(self.stage, arguments[0])]
        return [self.stage.refs[each[1:-1]] if each.startswith("<") else each for each in arguments]


def checked(make: Callable[[], object]) -> str:
    """Whether a spec can be."""
    try:
        make()
    except (SpecError, TypeError) as error:
        return of_refusal(error, str)
    return "ok"


def without_ids(reply: Any) -> Any:
    """Children listed as OTP lists those of simple_one_for_one; okibi's are numbered."""
    if isinstance(reply, list) and all(isinstance(each, list) for each in reply):
        return [each[1:] for each in reply]
    return reply


def in_runs(words: Any) -> Any:
    """Sort what has no order of its own: children listed, and ends that follow each other."""
    if not isinstance(words, list) or (words and isinstance(words[0], int)):
        return words
    runs = [(kind, list(run)) for kind, run in groupby(words, kind_of)]
    return [
        word
        for kind, run in runs
        for word in (run if kind == "ordered" else sorted(run, key=whose))
    ]


def kind_of(word: Any) -> str:
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


def whose(word: Any) -> str:
    label: str = word[0] if isinstance(word, list) else word.split(" ")[1]
    return label


def replay(scenario: Scenario) -> list[str]:
    """Do to okibi's supervisor what was done to OTP's: a line for each step, as text."""
    return [said(line) for line in replayed(scenario)]


def replayed(scenario: Scenario) -> list[Line]:
    """Do what the scenario says: a line for each step."""
    clock = MockClock()

    async def main() -> list[Line]:
        async with trio.open_nursery() as nursery:
            return await Replay(scenario, nursery, clock).lines()
        raise AssertionError("unreachable")

    return trio.run(main, clock=clock)
