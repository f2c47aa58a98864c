"""Reports of how supervisors stopped: how long each child took, and which children were killed.

A kill does not always end a child. Code that does not await, a thread that trio cannot abandon, and
a shielded cancel scope all outlive a kill. The supervisor waits for such a child, because no child
may outlive its supervisor. The report names the line of code where the child is.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ..actors import ExitReason


class Stopped(NamedTuple):
    """The stop of one child.

    Attributes:
        path: the path of the child.
        seconds: the time from the stop request to the end, or to now while the child has not ended.
        reason: the exit reason; None while the child has not ended.
        forced: True if the child was killed because its grace period, or its supervisor's, was
            over. False for a child with BRUTAL_KILL, and if the supervisor itself was killed.
        line: the line of code, as `file:line`, where the child was 0.1 s after it had been killed;
            empty if the child had ended by then.
        inner: the report of the child, if the child is a supervisor.
    """

    path: str
    seconds: float
    reason: ExitReason | None
    forced: bool = False
    line: str = ""
    inner: "StopReport | None" = None

    def problem(self) -> str:
        """Return a sentence about what went wrong, or an empty string."""
        if self.line and self.reason is None:
            return f"{self.path} was killed and has not ended: it is at {self.line}"
        if self.line:
            return (
                f"{self.path} was killed and ended {self.seconds:.3g} s after the stop request: "
                f"it was at {self.line}"
            )
        if self.forced:
            return f"{self.path} was killed {self.seconds:.3g} s after the stop request"
        return ""

    def problems(self) -> list[str]:
        """Return the problems of the child and of all children below, the lowest child first."""
        return _list_problems([self])


class StopReport(NamedTuple):
    """The stop of a supervisor's children. `str(report)` is one line for a log.

    Attributes:
        path: the path of the supervisor.
        seconds: the duration of the stop, up to now if the stop is not complete.
        children: the children that ended, in the order of their ends, then the other children.
    """

    path: str
    seconds: float
    children: tuple[Stopped, ...]

    def problems(self) -> list[str]:
        """Return a sentence for each problem in the tree, the lowest child first."""
        return _list_problems(self.children)

    def __str__(self) -> str:
        ended = sum(child.reason is not None for child in self.children)
        count = f"{ended} of {len(self.children)} children"
        summary = f"{self.path} stopped {count} in {self.seconds:.3g} s"
        return "; ".join([summary, *self.problems()])

    def __repr__(self) -> str:
        """Show the number of children only: each child may hold another report."""
        count = f"<{len(self.children)}>"
        return f"StopReport(path={self.path!r}, seconds={self.seconds!r}, children={count})"


def _list_problems(children: Iterable[Stopped]) -> list[str]:
    """List the problems of children and of all children below.

    A loop, not a recursion: a tree may be deeper than Python's recursion limit.
    """
    found = list[str]()
    waiting = list(children)
    while waiting:
        # This order is the reverse of the result: the last child first, parents before children.
        child = waiting.pop()
        found.append(child.problem())
        waiting += () if child.inner is None else child.inner.children
    return [problem for problem in reversed(found) if problem]
