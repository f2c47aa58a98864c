"""An event as the observers of events see it (`okibi.telemetry`), and the lists of observers.

Imported by `okibi.telemetry` only.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import Context as ContextVariables
from typing import Any, TypeVar

import trio

from ...actors import logs
from ...actors.safe_repr import describe_value
from ..codec.json import UNTYPED, UnmarshalError
from ..errors.error_response import DEADLINE_EXCEEDED
from ..in_flight.delivery import Delivery
from ..protocol.outcome import Outcome
from ..settings import Settings
from .context import Context

logger = logs.logger("okibi")

Observer = Callable[["ObservedEvent"], AbstractContextManager[object]]
Export = Callable[[float], object]
AnyObserver = TypeVar("AnyObserver", bound=Callable[..., AbstractContextManager[object]])
AnyExport = TypeVar("AnyExport", bound=Export)

# What a function's module has registered. Read when the function starts.
AROUND_EVENTS: list[Observer] = []
AROUND_RECORDS: list[Callable[[Any], AbstractContextManager[object]]] = []
AFTER_EVENTS: list[Export] = []


def around_events(observer: AnyObserver) -> AnyObserver:
    """Enter a context manager around each event of the function, whatever kind its handler is.

        @around_events
        @contextmanager
        def observe(observed: ObservedEvent) -> Iterator[None]:
            began = time.monotonic()
            yield
            print(observed.error_type or "done", time.monotonic() - began)

    The block begins before the handler, in the handler's context: context variables that it sets
    are the handler's, also in a thread and on asyncio. It ends when the outcome is known, and for a
    stream after the last piece. It ends once for each event, also at a deadline, and if the worker
    was killed. No exception is raised in the block: the outcome is in the attributes of the
    ObservedEvent, because a killed worker raises nothing.

    It is a plain context manager: the end must be possible where nothing can be awaited. It must
    not wait, because it holds the event loop; what waits belongs into `after_events`. An error is
    logged and changes no response. Several observers are nested in the order of registration.

    Register while the function's module is imported.

    Args:
        observer: takes an ObservedEvent and returns a context manager.

    Raises:
        TypeError: `observer` cannot be called.
    """
    _check(observer, "around_events", "observe(observed)")
    AROUND_EVENTS.append(observer)
    return observer


def around_records(observer: AnyObserver) -> AnyObserver:
    """Enter a context manager around each record of a Batch, within the block of its event.

    The block begins and ends where the handler of the record runs. The handler's exception is
    raised in the block, also a cancellation; the block cannot hide it.

    Args:
        observer: takes a Record and returns a context manager.

    Raises:
        TypeError: `observer` cannot be called.
    """
    _check(observer, "around_records", "observe(record)")
    AROUND_RECORDS.append(observer)
    return observer


def after_events(export: AnyExport) -> AnyExport:
    """Call a function after events, to send what observers have collected.

        @after_events
        def flush(seconds: float) -> None:
            provider.force_flush(int(seconds * 1000))

    The function runs in a thread, one call at a time, when the invoker has the response. With one
    event at a time the sandbox asks for the next event when the call has ended, at the latest at
    the event's deadline and after 10 s; a call that takes longer goes on meanwhile, and later
    events do not wait for it. With many events at once no event waits.

    After a late handler the call begins before the response, which waits for at most a quarter of
    the deadline margin. At the end of the process the call has 50 ms. An error is logged.

    Args:
        export: takes the number of seconds that okibi waits for its end.

    Raises:
        TypeError: `export` cannot be called.
    """
    _check(export, "after_events", "export(seconds)")
    AFTER_EVENTS.append(export)
    return export


def _check(function: object, name: str, shape: str) -> None:
    if not callable(function):
        raise TypeError(f"{name} takes a function {shape}, got {describe_value(function)}")


class ObservedEvent:
    """An event, and its outcome once it is known, as an observer sees them.

    Attributes:
        context: the context object, as the handler's.
        first: whether this is the first event of the process: a cold start.
        route: the route of a web request, such as `/orders/{id}`, once the application has chosen
            one; else None.
        error: the exception that the handler has raised; None for a result, at a deadline, and if
            the worker was killed.
    """

    __slots__ = (
        "_blocks", "_body", "_early", "_event", "_late", "_open", "_outcome", "_variables",
        "context", "error", "first", "route",
    )  # fmt: skip

    def __init__(self, delivery: Delivery, settings: Settings, first: bool) -> None:
        self.context = Context(delivery, settings)
        self.first = first
        self.route: str | None = None
        self.error: BaseException | None = None
        self._body = delivery.body
        self._event: Any = None
        self._outcome: Outcome | None = None
        # The response of an adapter that has answered early; the error behind a late answer.
        self._early: Outcome | None = None
        self._late: Outcome | None = None
        self._blocks: _Blocks | None = None
        self._variables: ContextVariables | None = None
        self._open = [None]

    def __repr__(self) -> str:
        return f"<ObservedEvent {self.context.aws_request_id}>"

    @property
    def event(self) -> Any:
        """The event, decoded at the first read; None if it is not JSON.

        A copy: the handler's event is another object.
        """
        body, self._body = self._body, b""
        if body:
            with suppress(UnmarshalError):
                self._event = UNTYPED.decode(body)
        return self._event

    @property
    def error_type(self) -> str | None:
        """The error's type, as the invoker gets it; None while the event runs, and for a result.

        The handler's exceptions: `Function.` and the exception's type. Others are
        `Runtime.DeadlineExceeded`, `Runtime.WorkerExited` (the worker was killed),
        `Runtime.Stopped` (the process ends) and `Runtime.ExitError` (the process ends at another
        event's deadline). A late web request or batch has `Runtime.DeadlineExceeded` too, although
        the invoker gets an answer.
        """
        outcome = self._late or self._outcome
        return None if outcome is None else outcome.error_type

    @property
    def error_message(self) -> str:
        """The error's message; empty without an error."""
        outcome = self._late or self._outcome
        if outcome is None or outcome.error_type is None:
            return ""
        try:
            return str(UNTYPED.decode(outcome.body)["errorMessage"])
        except (UnmarshalError, LookupError, TypeError):
            return ""

    @property
    def result(self) -> Any:
        """The handler's result, decoded; None for an error, a stream, and while the event runs."""
        outcome = self._outcome
        if outcome is None or outcome.error_type is not None or not outcome.body:
            return None
        try:
            return UNTYPED.decode(outcome.body)
        except UnmarshalError:
            return None

    # -- called by the runtime

    def begin(self, observers: list[Observer]) -> None:
        """Enter the blocks, in the current context."""
        self._variables = _current_variables()
        self._blocks = _Blocks(observers, self, "an event")
        self._blocks.__enter__()

    def end(self, outcome: Outcome) -> None:
        """Leave the blocks, in the context in which they were entered. The first call counts.

        Any thread may call this.
        """
        try:
            self._open.pop()
        except IndexError:
            return
        self._outcome = outcome if outcome.error_type else self._early or outcome
        variables = self._variables
        if variables is None or variables is _current_variables():
            self._leave()
            return
        try:
            variables.run(self._leave)
        except RuntimeError:
            # Another thread is in this context: it holds the loop.
            variables.copy().run(self._leave)

    def _leave(self) -> None:
        if self._blocks is not None:
            self._blocks.__exit__(None, None, None)
        # The frames of the error refer to the event and to this object.
        self.error = self._variables = None

    def note_error(self, error: BaseException) -> None:
        """Keep the handler's exception until the blocks have ended."""
        self.error = error

    def note_route(self, route: str) -> None:
        """Keep the route that a web application has chosen."""
        self.route = route

    def note_early_answer(self, outcome: Outcome) -> None:
        """Keep the answer of an adapter that goes on."""
        self._early = outcome

    def note_late_answer(self, error: Outcome) -> None:
        """Keep the deadline's error, in place of which an adapter has another answer."""
        self._late = error

    @property
    def is_late(self) -> bool:
        """Whether the deadline has ended the handler."""
        return self.error_type == DEADLINE_EXCEEDED


def _current_variables() -> ContextVariables | None:
    """Return the context of the current task; None outside trio."""
    try:
        return trio.lowlevel.current_task().context
    except RuntimeError:
        return None


def _name_of(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else describe_value(function)


def observe_record(handle: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """Return the handler of a record within the blocks of `around_records`."""
    observers = [*AROUND_RECORDS]
    if not observers:
        return handle

    async def observed(record: Any, *prepared: Any) -> Any:
        with _Blocks(observers, record, "a record"):
            return await handle(record, *prepared)

    def observed_plainly(record: Any, *prepared: Any) -> Any:
        with _Blocks(observers, record, "a record"):
            return handle(record, *prepared)

    return observed if is_async else observed_plainly


class _Blocks:
    """The blocks of observers around an event or a record. Their errors are logged.

    Args:
        observers: each returns a context manager.
        subject: their argument.
        name: what `subject` is, for the log.
    """

    def __init__(self, observers: Sequence[Callable[[Any], Any]], subject: Any, name: str) -> None:
        self._observers, self._subject, self._name = observers, subject, name
        self._blocks: list[AbstractContextManager[object]] = []

    def __enter__(self) -> None:
        for observer in self._observers:
            try:
                block = observer(self._subject)
                block.__enter__()
            except BaseException:
                logger.exception("%s raised before %s", _name_of(observer), self._name)
            else:
                self._blocks.append(block)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        while self._blocks:
            block = self._blocks.pop()
            try:
                block.__exit__(kind, error, traceback)
            except BaseException as raised:
                if raised is not error:
                    logger.exception("%s raised after %s", describe_value(block), self._name)
