"""Tasks: one function, run apart, its outcome delivered once (Elixir: `Task.Supervisor`).

A task is a temporary child of a TaskSupervisor. It is linked to nobody: whoever asked for it is
not harmed by its crash, and does not end it by ending. What it comes to is told in one of three
ways, and exactly once:

    it returned                       `result` gives the value
    it raised an exception            `result` raises that very exception
    it was stopped, killed, or left   `result` raises ActorExited, whose `reason` says which;
    with Exit or SystemExit           at once, also when the whole supervisor is killed

The outcome goes from the task to whoever awaits it, past the supervisor, which may be busy.

A crash that is awaited is news to its awaiter only. One that nobody takes is logged, with the
task's path, what it ran and for whom: when it ends, if nobody holds its Task any more; else when
the last who held it lets go.

    what one does                        Elixir                       here
    wait for it                          Task.await                   await task.result()
    wait a while, perhaps again          Task.yield(task, ms)         with trio.move_on_after(s)
    end it                               Task.shutdown(task, ms)      await task.shutdown(s)
    end it without ceremony              Task.shutdown(:brutal_kill)  task.kill()
    fire and forget                      start_child                  cast, not call
    wait for it, or end it               async_nolink, then await     await run_task(...)
    be sent its outcome                  async_nolink, handle_info    self.monitor(task)
"""

import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any, ClassVar, Generic, Literal, ParamSpec, TypeVar, cast

import attrs
import trio
from outcome import Error, Outcome, Value

from ..actors import NO_REPLY, SHUTDOWN, Actor, Address, Exit, Pending, Ref, logs
from ..actors.exits import crash_in, is_a
from ..actors.process import CURRENT, Phase, Process
from ..actors.request import Asked, Request
from ..actors.results import ResultMonitor, monitor_result
from ..actors.run_guard import refuse_elsewhere
from ..actors.safe_repr import shape
from ..actors.start import GRACE, factory_name
from .any_supervisor_spec import AnySupervisorSpec, implements
from .dynamic import DynamicSupervisor, DynamicSupervisorSpec
from .spec import Child, Restart
from .spec_error import SpecError

A = TypeVar("A", bound=Actor)
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

logger = logs.logger("okibi.supervisors")


@attrs.frozen
class TaskSupervisorSpec(AnySupervisorSpec["TaskSupervisor"]):
    """The flags of a TaskSupervisor.

    | field | default | legal |
    | --- | --- | --- |
    | max_children | None | how many tasks may run at once; None: any |
    | shutdown | 5.0 s | seconds a task has to end in once asked, INFINITY, or BRUTAL_KILL |

    Raises:
        SpecError: a field is wrong; `field` names it.
    """

    default_id: ClassVar[str] = "tasks"

    max_children: int | None = None
    shutdown: float | Literal["brutal_kill"] = GRACE

    def __attrs_post_init__(self) -> None:
        self.as_dynamic()
        self.as_child()

    def as_dynamic(self) -> DynamicSupervisorSpec:
        """The same as what a DynamicSupervisor is told; tasks are never restarted."""
        return DynamicSupervisorSpec(max_children=self.max_children, intensity=0)

    def as_child(self) -> "Child[Running]":
        """The spec that all its tasks share."""
        start = cast("Callable[[], Running]", Running)
        return Child(start, id="task", restart=Restart.TEMPORARY, shutdown=self.shutdown)


class Running(Actor):
    """The actor that runs one function.

    Args:
        function: what it runs.
        request: what that is given, who asked, and where the outcome goes.
    """

    __slots__ = ("_function", "_request")

    def __init__(self, function: Callable[..., Awaitable[object]], request: Request) -> None:
        self._function = function
        self._request = request

    async def init(self) -> None:
        self._process.silent = True

    async def run(self) -> None:
        request, process = self._request, self._process
        process.current, process.since = request, trio.current_time()
        try:
            value = await begun(self._function, *request.args, **request.kwargs)
        except Exception as error:
            # A nursery that the function has opened wraps an Exit, too.
            if not is_a(crash_in(error), Exit):
                request.fail(error)
            raise
        # What else leaves it (Cancelled, SystemExit) is told by the end of its process.
        request.answer(value)


def begun(function: object, /, *args: object, **kwargs: object) -> Awaitable[object]:
    """What a task awaits.

    Raises:
        TypeError: it is no async function.
    """
    given: Any = function(*args, **kwargs) if callable(function) else None
    if not isawaitable(given):
        what = shape(function) if not callable(function) else factory_name(function)
        raise TypeError(f"a task is an async function: there is nothing to await of {what}")
    return given


class Task(Generic[R_co]):
    """One function that runs, or has run, under a TaskSupervisor. Made by `start_task`."""

    __slots__ = ("_asked", "_pending", "_process", "_request", "_taken")

    def __init__(self, process: Process, request: Asked) -> None:
        self._process = process
        self._request = request
        self._pending: Pending[R_co] = Pending(process, request)
        self._asked = self._taken = False

    @property
    def ref(self) -> Ref[Actor]:
        """The actor that runs it: to monitor, to look at, to stop with a reason."""
        return Ref(self._process)

    @property
    def path(self) -> str:
        """Where it stands in its tree."""
        return self._process.path

    @property
    def done(self) -> bool:
        """Whether there is an outcome, so that `result` would return or raise at once."""
        return self._request.settled

    async def result(self) -> R_co:
        """Wait for what it gives (Elixir: `Task.await/2`).

        Limit it with `trio.fail_after`. To give up does not end the task: it may be awaited
        again, or ended with `shutdown` (Elixir: `Task.yield`, then `Task.shutdown`). Any task may
        take the result, any number of times (Elixir: the owner, once).

        Raises:
            ActorExited: it was stopped or killed, or left with Exit or SystemExit.
            CallCycle: the actor that waits here would wait for itself.
            trio.BusyResourceError: somebody else waits for it already.
            And whatever exception the function has raised.
        """
        return (await self.outcome()).unwrap()

    async def outcome(self) -> Outcome[R_co]:
        """Wait for what it comes to, as a value: `outcome.Value` or `outcome.Error`.

        Raises:
            CallCycle, trio.BusyResourceError: as `result`.
        """
        try:
            value = await self._pending.result()
        except trio.Cancelled:
            raise
        except BaseException:
            if not self.done:
                raise
            return self.outcome_nowait()
        self._taken = True
        return Value(value)

    def outcome_nowait(self) -> Outcome[R_co]:
        """The outcome that there is.

        Raises:
            trio.WouldBlock: there is none yet.
        """
        if not self.done:
            raise trio.WouldBlock
        self._taken = True
        try:
            return Value(cast("R_co", self._request.result()))
        except BaseException as error:
            return Error(error)

    def watched_by(self, watcher: Process) -> ResultMonitor:
        """Have `watcher` told what it comes to: what an actor's `monitor` does.

        The outcome counts as taken when its message is in the mailbox.

        Raises:
            RuntimeError: this is another run of trio's than the task's.
        """
        refuse_elsewhere(self._process, "monitor")
        return monitor_result(watcher, self._request, self, self._take)

    def _take(self) -> None:
        self._taken = True

    def stop(self, *, grace: float | None = None) -> None:
        """Ask it to end, without waiting: it is cancelled, and killed when its grace is over.

        Args:
            grace: seconds it has for that; its supervisor's `shutdown`, if left out.

        Raises:
            RuntimeError: as a Ref's.
        """
        self.ref.stop(grace=grace)
        self._asked = True

    def kill(self) -> None:
        """Cut it off."""
        self.ref.kill()
        self._asked = True

    async def shutdown(self, grace: float | None = None) -> Outcome[R_co] | None:
        """End it and wait until it has ended (Elixir: `Task.shutdown/2`).

        Args:
            grace: as of `stop`.

        Returns:
            Its outcome, if it came to one nevertheless, left with a reason that says more than
            SHUTDOWN, or somebody else had killed it before; None if it was shut down.
        """
        over = self._process.reason is not None or self._process.deadline() == -math.inf
        by_another = over and not self._asked
        self.stop(grace=grace)
        reason = await self.ref.wait()
        reached = self.outcome_nowait()
        killed = reason.kind == "killed" and not by_another
        ended = isinstance(reached, Error) and (killed or reason == SHUTDOWN)
        return None if ended else reached

    def __del__(self) -> None:
        process = self._process
        process.silent = False
        reason = process.reason
        if process.phase is not Phase.DEAD or self._taken or reason is None or reason.quiet:
            return
        if reason.error is None and self._asked:
            return
        level = logging.WARNING if reason.error is None else logging.ERROR
        caller = "" if self._request.caller is None else f" for {self._request.caller.path}"
        text = "%s ended: %s, and nobody took its outcome: it ran %s%s"
        logger.log(level, text, self.path, reason, self._request, caller, exc_info=reason.error)

    def __repr__(self) -> str:
        return f"<Task {self._request} at {self.path}, {'done' if self.done else 'under way'}>"


@implements(TaskSupervisorSpec)
class TaskSupervisor(DynamicSupervisor):
    """Runs functions, each as a temporary child of its own.

    >>> import trio
    >>> from okibi.actors import Name
    >>> from okibi.supervisors import TaskSupervisorSpec, TaskSupervisor, supervise
    >>> TASKS = Name("tasks", TaskSupervisor)
    >>> async def divide(a: float, b: float) -> float:
    ...     return a / b
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         top = await supervise(nursery, TaskSupervisorSpec(), name=TASKS)
    ...         good = await TASKS.call(TaskSupervisor.start_task, divide, 1, 4)
    ...         bad = await TASKS.call(TaskSupervisor.start_task, divide, 1, 0)
    ...         print(await good.result())
    ...         try:
    ...             await bad.result()
    ...         except ZeroDivisionError as error:
    ...             print(error)
    ...         top.stop()
    >>> trio.run(main)
    0.25
    division by zero

    It is a DynamicSupervisor as well, of temporary children only.

    Args:
        flags: how many tasks there may be, and how they end.
    """

    __slots__ = ("_task",)

    def __init__(self, spec: TaskSupervisorSpec | None = None) -> None:
        given = TaskSupervisorSpec() if spec is None else spec
        super().__init__(given.as_dynamic())
        self._task = given.as_child()

    async def start_task(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Task[R]:
        """Run a function apart from everybody (Elixir: `Task.Supervisor.async_nolink`).

        Called, it gives the Task to be awaited. Cast, it is fire and forget (Elixir:
        `start_child`): a crash is logged. Whoever gives up the call itself gets no Task, so the
        function is not begun, or is stopped again.

        Args:
            function: an async function.
            *args, **kwargs: what it takes.

        Raises:
            MaxChildren: as many tasks as may run already.
        """
        asked = self._process.current
        call = asked if isinstance(asked, Request) else None
        if call is not None and call.abandoned:
            return NO_REPLY
        self._refuse_more()
        name = factory_name(function)
        request = Asked(name, args, kwargs, None if call is None else call.caller, True)
        ref = await self._begin(self._task, name, partial(Running, function, request))
        task = Task[R](cast("Ref[Actor]", ref).process(), request)
        if call is not None and call.abandoned:
            task.stop()
        return task

    def _checked(self, spec: Child[A]) -> Child[A]:
        child = super()._checked(spec)
        if child.restart is not Restart.TEMPORARY:
            raise SpecError(
                f"child {child.id!r} is {child.restart.name}, but a TaskSupervisor restarts no "
                f"child: make it TEMPORARY, or start it under a DynamicSupervisor",
                field="restart",
                value=child.restart,
            )
        return child


async def run_task(
    tasks: Address[TaskSupervisor],
    function: Callable[P, Awaitable[R]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Run a function under a TaskSupervisor and wait for it; to give up ends it.

    >>> import trio, trio.testing
    >>> from okibi.supervisors import TaskSupervisorSpec, run_task, supervise
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         tasks = await supervise(nursery, TaskSupervisorSpec())
    ...         with trio.move_on_after(1):
    ...             await run_task(tasks, trio.sleep, 60)
    ...         print(trio.current_time() - began)
    ...         tasks.stop()
    >>> began = 0.0
    >>> trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    1.0

    Args:
        tasks: the supervisor's Ref or Name.
        function: an async function.
        *args, **kwargs: what it takes.

    Raises:
        MaxChildren: as many tasks as may run already.
        ActorExited: the task, or its supervisor, was stopped or killed.
        TypeError: `tasks` is no address, or `function` no async one.
        And whatever exception the function has raised.
    """
    if not isinstance(cast("object", tasks), Address):
        raise TypeError(
            f"run_task takes a Ref or a Name, then the function: first is {shape(tasks)}"
        )
    task = await tasks.call(TaskSupervisor.start_task, function, *args, **kwargs)
    try:
        return await task.result()
    except BaseException:
        task.stop()
        raise


def callers() -> tuple[str, ...]:
    """For whom the running task runs: the paths of who asked, and who asked for that (`$callers`).

    The nearest first; it ends with the first that is no task, or has ended.
    """
    found: list[str] = []
    process = CURRENT.get()
    while process is not None and isinstance(process.actor, Running):
        caller = process.actor._request.caller
        process = caller if isinstance(caller, Process) else None
        if process is not None:
            found.append(process.path)
    return tuple(found)
