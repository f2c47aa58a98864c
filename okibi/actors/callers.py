"""CallingTask: a task outside any actor that has sent a message. It can be monitored like an actor.

Caller is the type of `Server.caller`.

A trio Instrument reports the end of a task. okibi adds one to the run with the first monitor of a
task and removes it with the last, so a run without such monitors pays nothing. trio does not report
why a task ended.

`Server.caller` imports this module at its first use: a start does not need it.
"""

import inspect
from typing import Any

import trio
from trio.lowlevel import RunVar, Task, add_instrument, remove_instrument

from .calling_event import CallingEvent
from .exits import NO_PROCESS
from .life import Phase
from .monitors import Down, Monitor
from .process import Process
from .ref import Ref
from .safe_repr import task_name


class CallingTask:
    """The sender of a message that no actor has sent. `Server.caller` returns it.

    `self.monitor(self.caller)` brings one `Down` when the task ends. Its `reason` is NO_PROCESS,
    because trio does not tell why a task ended, and its `ref` is None. Two CallingTasks are equal
    if they are for the same task.
    """

    __slots__ = ("_task",)

    def __init__(self, task: Task | None) -> None:
        self._task = task

    @property
    def path(self) -> str:
        """The name that trio gives the task; of a callable object, its coroutine's name."""
        return "no task" if self._task is None else task_name(self._task)

    @property
    def alive(self) -> bool:
        """Whether the task is still running."""
        return self._task is not None and not _has_ended(self._task)

    def add_monitor(self, watcher: Process) -> Monitor:
        """Send `watcher` a Down when the task ends. Used by `Actor.monitor`."""
        monitor = TaskMonitor(watcher, self._task)
        if self._task is None or _has_ended(self._task):
            monitor.notify()
        elif watcher.life.phase is not Phase.DEAD:
            _task_ends().watch(self._task, monitor)
            watcher.tie(monitor)
        return monitor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallingTask) and other._task is self._task

    def __hash__(self) -> int:
        return hash(self._task)

    def __repr__(self) -> str:
        return f"<CallingTask {self.path}>"


class TaskMonitor(Monitor):
    """A monitor of a task."""

    __slots__ = ("_task",)

    def __init__(self, watcher: Process, task: Task | None) -> None:
        super().__init__(watcher, None)
        self._task = task

    def demonitor(self) -> None:
        """End the monitoring. A Down that waits in the mailbox is removed."""
        _task_ends().unwatch(self._task, self)
        self._watcher.unwatch(self)
        super().demonitor()

    def notify(self) -> None:
        """Post the Down to the watcher."""
        self._watcher.unwatch(self)
        path = CallingTask(self._task).path
        self._watcher.mailbox.notify(Down(path, NO_PROCESS, self, None))


class TaskEnds(trio.abc.Instrument):
    """The monitors of each monitored task in one run."""

    def __init__(self) -> None:
        self.monitors: dict[Task | None, dict[TaskMonitor, None]] = {}

    def watch(self, task: Task, monitor: TaskMonitor) -> None:
        if not self.monitors:
            add_instrument(self)
        self.monitors.setdefault(task, {})[monitor] = None

    def unwatch(self, task: Task | None, monitor: TaskMonitor) -> None:
        monitors = self.monitors.get(task, {})
        if monitors.pop(monitor, monitor) is None and not monitors:
            self._remove(task)

    def task_exited(self, task: Task) -> None:
        if task in self.monitors:
            for monitor in self._remove(task):
                monitor.notify()

    def _remove(self, task: Task | None) -> dict[TaskMonitor, None]:
        monitors = self.monitors.pop(task)
        if not self.monitors:
            remove_instrument(self)
        return monitors


_ends_of_run: RunVar[TaskEnds] = RunVar("task ends")


def _task_ends() -> TaskEnds:
    try:
        return _ends_of_run.get()
    except LookupError:
        ends = TaskEnds()
        _ends_of_run.set(ends)
        return ends


def _has_ended(task: Task) -> bool:
    return inspect.getcoroutinestate(task.coro) == inspect.CORO_CLOSED


Caller = Ref[Any] | CallingTask | CallingEvent
"""The type of `Server.caller`: an actor, a task outside any actor, or an event."""
