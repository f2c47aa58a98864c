"""Tasks: run one async function in an actor under a supervisor (Elixir: `Task.Supervisor`).

A task is a temporary child of a TaskSupervisor. It has no link to its caller: a crash of the task
does not harm the caller, and the task keeps running when the caller exits. A task has exactly one
outcome:

    the function returned              `result` returns the value
    the function raised an exception   `result` raises the same exception object
    the task was stopped or killed,    `result` raises ActorExited with the `reason`, immediately,
    or raised Exit or SystemExit       even if the whole supervisor was killed

The outcome passes directly from the task to the awaiter. A busy supervisor does not delay it.

If somebody awaits a crashed task, only the awaiter sees the crash. Otherwise the crash is logged
with path, function and caller: when the task exits, or when its Task object is collected.

    purpose                              Elixir                       okibi
    wait for the outcome                 Task.await                   await task.result()
    wait for several outcomes            Task.await_many(tasks)       await await_many(tasks)
    wait for some time                   Task.yield(task, ms)         with trio.move_on_after(s)
    stop the task                        Task.shutdown(task, ms)      await task.shutdown(s)
    kill the task                        Task.shutdown(:brutal_kill)  task.kill()
    fire and forget                      start_child                  cast, not call
    wait; stop the task on cancellation  async_nolink, then await     await run_task(...)
    receive the outcome as a message     async_nolink, handle_info    self.monitor(task)
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
from ..actors.life import Phase
from ..actors.process import CURRENT, Process, check_same_run
from ..actors.request import PendingRequest, Request
from ..actors.results import ResultMonitor, monitor_result
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
    """The spec of a TaskSupervisor (Elixir: options of `Task.Supervisor.start_link/1`).

    | field | default | meaning |
    | --- | --- | --- |
    | max_children | None | an integer >= 0: the limit of tasks at one time; None: no limit |
    | shutdown | 5.0 | a task's grace on stop: seconds >= 0, INFINITY, or BRUTAL_KILL |

    >>> from okibi.supervisors import TaskSupervisorSpec
    >>> TaskSupervisorSpec(max_children=20).shutdown
    5.0

    Raises:
        SpecError: a field has an illegal value.
    """

    default_id: ClassVar[str] = "tasks"

    max_children: int | None = None
    shutdown: float | Literal["brutal_kill"] = GRACE

    def __attrs_post_init__(self) -> None:
        # Both check the fields.
        self.as_dynamic()
        self.as_child()

    def as_dynamic(self) -> DynamicSupervisorSpec:
        """Return the equivalent DynamicSupervisorSpec; tasks are never restarted."""
        return DynamicSupervisorSpec(max_children=self.max_children, intensity=0)

    def as_child(self) -> "Child[TaskActor]":
        """Return the spec shared by all tasks of one supervisor."""
        start = cast("Callable[[], TaskActor]", TaskActor)
        return Child(start, id="task", restart=Restart.TEMPORARY, shutdown=self.shutdown)


class TaskActor(Actor):
    """The actor that runs one function.

    Args:
        function: the async function.
        request: holds the function's arguments and the caller, and receives the outcome.
    """

    __slots__ = ("_function", "_request")

    def __init__(self, function: Callable[..., Awaitable[object]], request: Request) -> None:
        self._function = function
        self._request = request

    async def init(self) -> None:
        self._process.life.report_elsewhere()

    async def run(self) -> None:
        request = self._request
        self._process.work.begin(request, trio.current_time())
        try:
            value = await call_async(self._function, *request.args, **request.kwargs)
        except Exception as error:
            # A nursery inside the function wraps Exit in a group.
            if not is_a(crash_in(error), Exit):
                request.fail(error)
            raise
        # After Exit, Cancelled or SystemExit, the process's exit settles the request.
        request.answer(value)


def call_async(function: object, /, *args: object, **kwargs: object) -> Awaitable[object]:
    """Call an async function and return its awaitable.

    Raises:
        TypeError: the function is not callable, or returned no awaitable.
    """
    if not callable(function):
        raise TypeError(f"a task must be an async function, got {shape(function)}")
    returned: Any = function(*args, **kwargs)
    if not isawaitable(returned):
        raise TypeError(
            f"a task must be an async function: {factory_name(function)} returned no awaitable; "
            f"run blocking code with trio.to_thread.run_sync"
        )
    return returned


class Task(Generic[R_co]):
    """A handle of one function under a TaskSupervisor (Elixir: `Task`). Made by `start_task`.

    task = await TASKS.call(TaskSupervisor.start_task, fetch, url)
    page = await task.result()
    """

    __slots__ = ("_end_requested", "_outcome_taken", "_pending", "_process", "_request")

    def __init__(self, process: Process, request: PendingRequest) -> None:
        self._process = process
        self._request = request
        self._pending: Pending[R_co] = Pending(process, request)
        self._end_requested = self._outcome_taken = False

    @property
    def ref(self) -> Ref[Actor]:
        """The actor that runs the function; for `monitor`, or `stop` with a reason."""
        return Ref(self._process)

    @property
    def path(self) -> str:
        """The actor's path, such as `/tasks/fetch-3`."""
        return self._process.path

    @property
    def done(self) -> bool:
        """Whether the outcome has arrived: `result` returns or raises immediately."""
        return self._request.settled

    async def result(self) -> R_co:
        """Wait for the function's result (Elixir: `Task.await/2`).

        Limit the wait with `trio.fail_after`. A cancelled wait leaves the task running: await the
        task again, or stop it with `shutdown` (Elixir: `Task.yield`, then `Task.shutdown`). Any
        trio task may take the result, several times (Elixir: the owner, once).

        Raises:
            ActorExited: the task was stopped or killed, or raised Exit or SystemExit.
            CallCycle: the task waits for the actor that calls `result`.
            trio.BusyResourceError: another trio task is waiting for the outcome.
            Exception: the exception raised by the function.
        """
        return (await self.outcome()).unwrap()

    async def outcome(self) -> Outcome[R_co]:
        """Wait for the outcome as a value: `outcome.Value` or `outcome.Error`.

        Raises:
            CallCycle: the task waits for the actor that calls `outcome`.
            trio.BusyResourceError: another trio task is waiting for the outcome.
        """
        try:
            value = await self._pending.result()
        except trio.Cancelled:
            raise
        except BaseException:
            if not self.done:
                raise
            return self.outcome_nowait()
        self._outcome_taken = True
        return Value(value)

    def outcome_nowait(self) -> Outcome[R_co]:
        """Return the outcome of a task that is done.

        Raises:
            trio.WouldBlock: the task is still running.
        """
        if not self.done:
            raise trio.WouldBlock
        self._outcome_taken = True
        try:
            return Value(cast("R_co", self._request.result()))
        except BaseException as error:
            return Error(error)

    def add_monitor(self, watcher: Process) -> ResultMonitor:
        """Send the outcome to an actor as a Result message; `Actor.monitor(task)` calls this.

        The outcome counts as taken as soon as the message is in the mailbox.

        Raises:
            RuntimeError: the caller is in another run of trio than the task.
        """
        check_same_run(self._process, "monitor")
        return monitor_result(watcher, self._request, self, self._mark_taken)

    def _mark_taken(self) -> None:
        self._outcome_taken = True

    def stop(self, *, grace: float | None = None) -> None:
        """Cancel the task without waiting; kill it if it is still running after the grace.

        Args:
            grace: seconds until the task is killed, >= 0; default: the supervisor's `shutdown`.

        Raises:
            RuntimeError: this thread runs no trio, or another `trio.run` (see `Ref.stop`).
        """
        self.ref.stop(grace=grace)
        self._end_requested = True

    def kill(self) -> None:
        """Kill the task without waiting (Elixir: `Task.shutdown(task, :brutal_kill)`)."""
        self.ref.kill()
        self._end_requested = True

    async def shutdown(self, grace: float | None = None) -> Outcome[R_co] | None:
        """Stop the task and wait for its exit (Elixir: `Task.shutdown/2`).

        Args:
            grace: seconds until the task is killed, >= 0; default: the supervisor's `shutdown`.

        Returns:
            None if this stop ended the task. Otherwise the outcome: the function returned or
            raised, gave an exit reason other than SHUTDOWN, or was killed by another actor.
        """
        ending = self._process.life.reason is not None or self._process.deadline() == -math.inf
        ended_by_another = ending and not self._end_requested
        self.stop(grace=grace)
        reason = await self.ref.wait()
        outcome = self.outcome_nowait()
        killed = reason.kind == "killed" and not ended_by_another
        shut_down = isinstance(outcome, Error) and (killed or reason == SHUTDOWN)
        return None if shut_down else outcome

    def __del__(self) -> None:
        life = self._process.life
        life.report_elsewhere(False)
        reason = life.reason
        if life.phase is not Phase.DEAD or self._outcome_taken or reason is None or reason.quiet:
            return
        if reason.error is None and self._end_requested:
            return
        level = logging.WARNING if reason.error is None else logging.ERROR
        caller = "" if self._request.caller is None else f" for {self._request.caller.path}"
        text = "%s ended: %s; the outcome was never awaited (ran %s%s)"
        logger.log(level, text, self.path, reason, self._request, caller, exc_info=reason.error)

    def __repr__(self) -> str:
        return f"<Task {self._request} at {self.path}, {'done' if self.done else 'running'}>"


@implements(TaskSupervisorSpec)
class TaskSupervisor(DynamicSupervisor):
    """Runs each async function in an actor, a temporary child (Elixir: `Task.Supervisor`).

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

    A TaskSupervisor is also a DynamicSupervisor, for temporary children only.

    Args:
        spec: the limit of tasks and their grace; default: `TaskSupervisorSpec()`.
    """

    __slots__ = ("_task_spec",)

    def __init__(self, spec: TaskSupervisorSpec | None = None) -> None:
        given = TaskSupervisorSpec() if spec is None else spec
        super().__init__(given.as_dynamic())
        self._task_spec = given.as_child()

    async def start_task(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Task[R]:
        """Run a function in a new child (Elixir: `Task.Supervisor.async_nolink`).

        A `call` returns the Task. A `cast` is fire and forget (Elixir: `start_child`); a crash is
        logged. If the caller cancels the call, no Task is returned: the function does not start,
        or is stopped.

        Args:
            function: an async function.
            *args, **kwargs: the function's arguments.

        Returns:
            The handle of the running function.

        Raises:
            MaxChildren: `max_children` is reached.
        """
        current = self._process.work.message
        call = current if isinstance(current, Request) else None
        if call is not None and call.abandoned:
            return NO_REPLY
        self._check_max_children()
        name = factory_name(function)
        request = PendingRequest(name, args, kwargs, None if call is None else call.caller, True)
        make = partial(TaskActor, function, request)
        ref = await self._start_numbered(self._task_spec, name, make)
        task = Task[R](cast("Ref[Actor]", ref).process(), request)
        if call is not None and call.abandoned:
            task.stop()
        return task

    def _check_spec(self, spec: Child[A]) -> Child[A]:
        child = super()._check_spec(spec)
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
    """Run a function under a TaskSupervisor and return its result; cancellation stops the task.

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

    Elixir: `Task.Supervisor.async_nolink`, then `Task.await`.

    Args:
        tasks: the supervisor's Ref or Name.
        function: an async function.
        *args, **kwargs: the function's arguments.

    Raises:
        MaxChildren: `max_children` is reached.
        ActorExited: the task or the supervisor was stopped or killed.
        TypeError: `tasks` is no Ref or Name, or `function` is not async.
        Exception: the exception raised by the function.
    """
    if not isinstance(cast("object", tasks), Address):
        raise TypeError(
            f"run_task(tasks, function, ...): tasks must be the Ref or Name of a TaskSupervisor, "
            f"got {shape(tasks)}"
        )
    task = await tasks.call(TaskSupervisor.start_task, function, *args, **kwargs)
    try:
        return await task.result()
    except BaseException:
        task.stop()
        raise


def callers() -> tuple[str, ...]:
    """Return the paths of the caller of the okibi task in which this is called, and of its callers.

    The nearest caller comes first; the chain ends at the first actor that is not a task, or has
    exited. Outside an okibi task the result is empty. Elixir: `$callers`.

        async def fetch(url):
            log.info("fetching for %s", callers()[0])    # "/shop/basket"
    """
    found: list[str] = []
    process = CURRENT.get()
    while process is not None and isinstance(process.actor, TaskActor):
        caller = process.actor._request.caller
        process = caller if isinstance(caller, Process) else None
        if process is not None:
            found.append(process.path)
    return tuple(found)
