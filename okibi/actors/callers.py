"""A calling task outside any actor, which can be monitored as an actor can.

A trio Instrument reports the end of a task. okibi adds one to the run with the first monitor of a
task and removes it with the last, so a run without such monitors pays nothing. trio does not report
why a task ended.

`Server.caller` imports this module at its first use: a start does not need it.
"""

import inspect

import trio
from trio.lowlevel import RunVar, Task, add_instrument, remove_instrument

from .exits import NO_PROCESS
from .monitors import Down, Monitor
from .process import Phase, Process
from .safe_repr import task_name


class CallingTask:
    """A task outside any actor that has asked for something: what `self.caller` gives then.

    It can be monitored: `self.monitor(self.caller)` brings one `Down` when the task has ended. Why
    it has, is not known: the reason is NO_PROCESS, and `ref` is None. Two are equal when they mean
    the same task.
    """

    __slots__ = ("_task",)

    def __init__(self, task: Task | None) -> None:
        self._task = task

    @property
    def path(self) -> str:
        """What trio calls the task; of a callable object the name of its coroutine function."""
        return "no task" if self._task is None else task_name(self._task)

    @property
    def alive(self) -> bool:
        """Whether the task has not ended."""
        return self._task is not None and not _is_over(self._task)

    def watched_by(self, watcher: Process) -> Monitor:
        """Have `watcher` told when the task has ended: what an actor's `monitor` does."""
        monitor = TaskMonitor(watcher, self._task)
        if self._task is None or _is_over(self._task):
            monitor.tell()
        elif watcher.phase is not Phase.DEAD:
            _ends().watch(self._task, monitor)
            # A short-lived watcher must leave nothing behind for a long-lived task.
            watcher.watchers[monitor] = lambda _: monitor.demonitor()
        return monitor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallingTask) and other._task is self._task

    def __hash__(self) -> int:
        return hash(self._task)

    def __repr__(self) -> str:
        return f"<CallingTask {self.path}>"


class TaskMonitor(Monitor):
    """One actor's interest in the end of a task."""

    __slots__ = ("_task",)

    def __init__(self, watcher: Process, task: Task | None) -> None:
        super().__init__(watcher, None)
        self._task = task

    def demonitor(self) -> None:
        """Lose interest. No Down of this monitor is seen after it, not even a waiting one."""
        _ends().unwatch(self._task, self)
        self._watcher.watchers.pop(self, None)
        super().demonitor()

    def tell(self) -> None:
        """Put the Down on the watcher's control lane."""
        self._watcher.watchers.pop(self, None)
        path = CallingTask(self._task).path
        self._watcher.mailbox.post(Down(path, NO_PROCESS, self, None))


class Ends(trio.abc.Instrument):
    """The monitors of each watched task, in one run."""

    def __init__(self) -> None:
        self.watched: dict[Task | None, dict[TaskMonitor, None]] = {}

    def watch(self, task: Task, monitor: TaskMonitor) -> None:
        if not self.watched:
            add_instrument(self)
        self.watched.setdefault(task, {})[monitor] = None

    def unwatch(self, task: Task | None, monitor: TaskMonitor) -> None:
        monitors = self.watched.get(task, {})
        if monitors.pop(monitor, monitor) is None and not monitors:
            self._forget(task)

    def task_exited(self, task: Task) -> None:
        if task in self.watched:
            for monitor in self._forget(task):
                monitor.tell()

    def _forget(self, task: Task | None) -> dict[TaskMonitor, None]:
        monitors = self.watched.pop(task)
        if not self.watched:
            remove_instrument(self)
        return monitors


_of_this_run: RunVar[Ends] = RunVar("task ends")


def _ends() -> Ends:
    try:
        return _of_this_run.get()
    except LookupError:
        ends = Ends()
        _of_this_run.set(ends)
        return ends


def _is_over(task: Task) -> bool:
    return inspect.getcoroutinestate(task.coro) == inspect.CORO_CLOSED
