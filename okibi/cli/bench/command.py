"""`okibi bench`: a function of the current folder, measured."""

from functools import partial
from pathlib import Path

import msgspec

from ..arguments import BadInput
from ..output import write_text
from ..until_signal import exit_code_of
from .machine import this_machine
from .measure import measure
from .order import BenchOrder, Given, read_order
from .report import Report, make_report
from .terminal import progress, table
from .text_tables import markdown

__all__ = ["bench"]

GOOD, FUNCTION_ERROR = 0, 1


def bench(handler: str, event: str | None, given: Given) -> int:
    """Measure a function of the current folder.

    Args:
        handler: as `_HANDLER` has it.
        event: JSON, or path of a file of it, "-" for stdin, None for `{}`.
        given: the options.

    Returns:
        The exit code: 0, 1 if some answers were errors that nobody had asked for, 2 for what cannot
        be measured, 130 after Ctrl-C.
    """
    return exit_code_of(
        "the table goes", lambda: partial(_bench, read_order(handler, event, given))
    )


async def _bench(order: BenchOrder) -> int:
    machine = this_machine()
    with progress() as tell:
        results = await measure(order, tell)
    report = make_report(order, results, machine)
    # What cannot be written takes nothing else with it: minutes were spent on it.
    try:
        write_text(table(report), "the table goes")
    finally:
        _write(order, report)
    runs = (*results.one_at_a_time, *results.many_at_once)
    return FUNCTION_ERROR if any(run.errors for run in runs) and not order.allow_errors else GOOD


def _write(order: BenchOrder, report: Report) -> None:
    """All that can be written is.

    Raises:
        BadInput: a part of it cannot.
    """
    failed: list[str] = []
    for path, write in ((order.json, _json), (order.markdown, _markdown), (order.plots, _draw)):
        try:
            if path is not None:
                write(report, path)
        except OSError as error:
            # A disk that is full names no file.
            failed.append(f"{error.filename or path}: cannot be written ({error.strerror})")
    if failed:
        raise BadInput("; ".join(failed))


def _json(report: Report, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _markdown(report: Report, path: Path) -> None:
    path.write_text(markdown(report), "utf-8")


def _draw(report: Report, folder: Path) -> None:
    from .plots import draw

    folder.mkdir(parents=True, exist_ok=True)
    draw(report, folder)
