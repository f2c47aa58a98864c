"""The open subsegments of the X-Ray SDK, by task, for `okibi.telemetry.powertools`.

On Lambda the SDK keeps one stack of open subsegments a thread, and reads the trace from the
environment. There, tasks and events side by side on one loop close each other's subsegments, and a
thread of the handler's does not see the handler's subsegment.
"""

from contextvars import ContextVar
from typing import Any

from aws_xray_sdk.core.lambda_launcher import LambdaContext
from aws_xray_sdk.core.models.dummy_entities import DummySegment
from aws_xray_sdk.core.models.facade_segment import FacadeSegment
from aws_xray_sdk.core.models.trace_header import TraceHeader

from ..runtime import xray_trace_id

# The segment of Lambda, and the open subsegments in it.
Stack = tuple[Any, ...]


class TaskContext(LambdaContext):  # type: ignore[misc]
    """Keeps open subsegments in a context variable, for `xray_recorder.configure(context=...)`.

    A task or a thread begins with the subsegments that are open where it was started. An actor
    begins with the one of the event whose handler calls the actor.
    """

    def __init__(self) -> None:
        super().__init__()
        # With the trace header that the stack belongs to.
        self._open: ContextVar[tuple[str | None, Stack]] = ContextVar(
            "okibi.telemetry.xray_entities", default=(None, ())
        )
        # By trace header, the stacks of events that run.
        self._events: dict[str | None, Stack] = {}

    def begin_event(self, recorder: Any, header: str | None, name: str) -> Any:
        """Open the subsegment of an event, also for the actors that its handler calls."""
        self._open.set((xray_trace_id(), (_make_segment(header),)))
        subsegment = recorder.begin_subsegment(name)
        self._events[header] = self._open.get()[1]
        return subsegment

    def end_event(self, recorder: Any, header: str | None, subsegment: Any) -> None:
        """Close the subsegment of an event, and those that the handler has left open."""
        self._events.pop(header, None)
        for _ in self._open.get()[1][2:]:  # such as at a deadline at which the loop is held
            recorder.end_subsegment()
        self.set_trace_entity(subsegment)
        recorder.end_subsegment()

    def get_trace_entity(self) -> Any:
        """Return the innermost open subsegment, or the segment of Lambda."""
        return self._current()[1][-1]

    def set_trace_entity(self, trace_entity: Any) -> None:
        """Make a subsegment or segment the innermost one."""
        segment = getattr(trace_entity, "parent_segment", trace_entity)
        stack = (segment,) if segment is trace_entity else (segment, trace_entity)
        self._open.set((xray_trace_id(), stack))

    def clear_trace_entities(self) -> None:
        """Forget what is open in this task."""
        self._open.set((None, ()))

    def put_subsegment(self, subsegment: Any) -> None:
        """Open a subsegment in the innermost one."""
        header, stack = self._current()
        stack[-1].add_subsegment(subsegment)
        self._open.set((header, (*stack, subsegment)))

    def end_subsegment(self, end_time: Any = None) -> bool:
        """Close the innermost subsegment; return False if none is open."""
        header, stack = self._current()
        if len(stack) == 1:
            return False
        stack[-1].close(end_time)
        self._open.set((header, stack[:-1]))
        return True

    def _current(self) -> tuple[str | None, Stack]:
        header, (owner, stack) = xray_trace_id(), self._open.get()
        if not stack or owner != header:  # another event, or the first use in this task
            stack = self._events.get(header) or (_make_segment(header),)
        # Another task may have closed what was open when this task began.
        while len(stack) > 1 and not stack[-1].in_progress:
            stack = stack[:-1]
        self._open.set((header, stack))
        return header, stack


def _make_segment(header: str | None) -> Any:
    """Return Lambda's own segment of a trace; one that is never sent without a complete header."""
    trace = TraceHeader.from_header_str(header)
    if trace.root and trace.parent and trace.sampled in (0, 1):
        segment: Any = FacadeSegment("facade", trace.parent, trace.root, trace.sampled == 1)
    else:
        segment = DummySegment()
    segment.save_origin_trace_header(trace)
    return segment
