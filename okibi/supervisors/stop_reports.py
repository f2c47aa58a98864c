"""What a stop has come to: who ended, how long each took, who had to be killed, who did not die.

A kill cannot be guaranteed: a child in code that does not await, in a thread that cannot be
abandoned, or in a shielded scope of its own outlives it. Its supervisor waits on, since nothing
may be left behind, but it does not wait in silence: the report says in which line the child sits.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ..actors import ExitReason


class Stopped(NamedTuple):
    """How one child took to being stopped.

    Attributes:
        path: who.
        seconds: from being asked until it had ended, or until now if it has not.
        reason: why it ended; None while it has not.
        forced: whether it had to be killed, since its grace, or its supervisor's, was over; not
            so of a child whose shutdown is BRUTAL_KILL, nor when the supervisor itself was killed.
        sits: where it sat, as `file:line`, some time after it had been killed; empty when it
            ended at once, as it should.
        inner: the report of its own stop, if it is a supervisor.
    """

    path: str
    seconds: float
    reason: ExitReason | None
    forced: bool = False
    line: str = ""
    inner: "StopReport | None" = None

    def problem(self) -> str:
        """What was not as it should be with it, in a sentence; empty if all was well."""
        if self.line and self.reason is None:
            return f"{self.path} does not end: it was killed and sits in {self.line}"
        if self.line:
            return (
                f"{self.path} ended {self.seconds:.3g} s after it was asked to: "
                f"it was killed and sat in {self.line}"
            )
        if self.forced:
            return f"{self.path} was killed {self.seconds:.3g} s into its stop"
        return ""

    def problems(self) -> list[str]:
        """The same of it and of all below it; the lowest first, whom those above waited for."""
        return _list_problems([self])


class StopReport(NamedTuple):
    """The stop of a supervisor.

    Attributes:
        path: the supervisor's.
        seconds: how long it took, or has taken so far.
        children: those that were stopped, in the order they ended; last those that have not.
    """

    path: str
    seconds: float
    children: tuple[Stopped, ...]

    def problems(self) -> list[str]:
        """What was not as it should be, in this tree, a sentence each; empty for a good stop."""
        return _list_problems(self.children)

    def __str__(self) -> str:
        gone = sum(child.reason is not None for child in self.children)
        of = f"{gone} of {len(self.children)} children"
        head = f"{self.path} stopped {of} in {self.seconds:.3g} s"
        return "; ".join([head, *self.problems()])

    def __repr__(self) -> str:
        """Without the children, each of which may hold a report of its own."""
        below = f"<{len(self.children)}>"
        return f"StopReport(path={self.path!r}, seconds={self.seconds!r}, children={below})"


def _list_problems(children: Iterable[Stopped]) -> list[str]:
    """The troubles of children and of all below them; no recursion, for a tree of any depth."""
    found = list[str]()
    waiting = list(children)
    while waiting:
        # From the last to the first, a parent before what is below it: the reverse of the answer.
        child = waiting.pop()
        found.append(child.problem())
        waiting += () if child.inner is None else child.inner.children
    return [problem for problem in reversed(found) if problem]
