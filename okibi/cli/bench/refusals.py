"""Why a function cannot be measured, in one sentence that says what to do about it."""

from collections.abc import Collection, Sequence

from ...local import FunctionSettings, InvokeResult
from ..start_errors import last_said, read_error, stood_at, why_not_started
from .contender import Contender
from .order import PEER, BenchOrder
from .record import LATE, NO_ROOM

__all__ = ["refuse_answer", "refuse_run", "refuse_stand_in", "refuse_start"]

OUTLIVES = "give an event that its process outlives"
ALONE = "leave out --peer to measure okibi alone"
FEWER = "give less --concurrency"


def refuse_start(
    contender: Contender, settings: FunctionSettings, result: InvokeResult, said: Sequence[str]
) -> str:
    """Of a function that did not start.

    Args:
        contender: what was started.
        settings: of its function.
        result: of the first event.
        said: what it has printed.
    """
    why = why_not_started(settings, result, stood_at(said))
    last = last_said(said) if _says_nothing(result) else ""
    told = f"; the last it said: {last}" if last else ""
    return f"on {contender.name} {why}{told}"


def refuse_answer(contender: Contender, result: InvokeResult, order: BenchOrder) -> str:
    """Of a first answer that is an error; nothing where errors are to be measured."""
    advice = "give an event that it can answer, or --allow-errors to measure its errors"
    if _says_nothing(result):
        # A cold start an event: nothing of it would be warm.
        advice = f"{OUTLIVES}, or {ALONE}" if contender.name == PEER else OUTLIVES
    elif order.allow_errors:
        return ""
    elif result.error_type in LATE:
        advice = "give --timeout more, or an event that takes it less time"
    elif contender.name == PEER and contender.handler == order.settings.handler:
        advice = "name a plain def that it can serve with --peer-handler"
    error = read_error(result.payload).in_words()
    return f"{contender.handler} on {contender.name} fails on this event: {error}; {advice}"


def refuse_stand_in(contender: Contender, errors: Collection[str]) -> str:
    """Of a handler in the function's place whose answers are errors, by their types."""
    cure = "; give a longer --timeout" if {*errors} <= set(LATE) else ""
    return (
        f"{contender.handler} on {contender.name}: the handler that stands in for it answers with"
        f" {', '.join(errors)}{cure}"
    )


def refuse_run(contender: Contender, exit_code: int, said: str) -> str:
    """Of a run that has no figures.

    Args:
        contender: what was measured.
        exit_code: of the process that has measured it.
        said: by that process on stderr.
    """
    why = said.strip().split("\n")[-1] or f"its server ended with exit code {exit_code}"
    return f"{contender.handler} on {contender.name}: {why}{_go_on(contender, why)}"


def _says_nothing(result: InvokeResult) -> bool:
    """Whether its process has ended by itself: all that the platform knows is its exit code."""
    return read_error(result.payload).errorType == "Runtime.ExitError"


def _go_on(contender: Contender, why: str) -> str:
    if NO_ROOM in why:
        return ""
    # Each of the peer's is a process that has to start.
    fewer = FEWER if " lanes came" in why and why.startswith("the runtime does not") else ""
    if contender.name == PEER:
        return f"; {fewer}, or {ALONE}" if fewer else f"; {ALONE}"
    if fewer:
        return f"; {fewer}"
    told = not why.startswith("the runtime has ended") or "; give " in why
    return "" if told else f"; {OUTLIVES}"
