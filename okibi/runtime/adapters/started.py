"""Await a coroutine whose first step has run."""

from collections.abc import Generator
from typing import Any

from ...actors.frames import Frames, FrameSource, frames_of_coroutine


class Started(FrameSource):
    """Awaits the rest of a coroutine that has begun, and waits.

    The coroutine runs in the task that awaits this object, so its cancel scopes, task groups and
    context variables are those of one task. What ends at its first step needs no such object.

    Args:
        coroutine: the coroutine.
        steps: the same, as `__await__` returns it.
        trap: what the first step has yielded: the wait.
    """

    __slots__ = ("_coroutine", "_steps", "_trap")

    def __init__(self, coroutine: object, steps: Any, trap: object) -> None:
        self._coroutine = coroutine
        self._steps = steps
        self._trap = trap

    def before_wait(self) -> None:
        """Called before each wait of the coroutine."""

    def __await__(self) -> Generator[Any, Any, object]:
        # The frames of a task end here. By this variable, those of the coroutine are found.
        started = self
        steps, trap, started._trap = started._steps, started._trap, None
        # What to resume the coroutine with. No variable holds an error: the error refers to this
        # frame, also by a copy of the frame's variables.
        box: list[Any] = []
        while True:
            started.before_wait()
            try:
                box.append((yield trap))
                act = steps.send
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:
                box.append(error)
                act = steps.throw
            try:
                trap = act(box.pop())
            except StopIteration as end:
                return end.value

    def frames(self) -> Frames:
        # Those of a coroutine that runs now are those of the task.
        runs_now = getattr(self._coroutine, "cr_running", False)
        return [] if runs_now else frames_of_coroutine(self._coroutine)
