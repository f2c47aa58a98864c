"""Short failure reports, a Hypothesis profile, and signals that the parent process ignores."""

import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType

import pytest
import trio
from _pytest._code.code import ExceptionChainRepr, ReprTracebackNative
from _pytest.doctest import DoctestModule

from tests import profiles

__all__ = ["profiles"]  # an import registers them

ROOT = Path(__file__).resolve().parents[1]
REPORT_LINES = 40
CAPTURED_LINES = 10


def pytest_configure(config: pytest.Config) -> None:
    """Let a signal that this process ignores end the processes that tests start.

    A child inherits an ignored signal, but no handler. nohup ignores SIGHUP; a shell ignores
    SIGINT in a background job.
    """
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the workers need to see the ignored signals
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path,
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for no examples in the docstrings of tests: it took a quarter of the collection."""
    found = yield
    if file_path.name.startswith("test_"):
        found = [each for each in found if not isinstance(each, DoctestModule)]
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the report of a failure short; `--full-trace` shows all of it."""
    error = call.excinfo and call.excinfo.value
    outcomes = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)
    if error is None or isinstance(error, outcomes) or item.config.getoption("fulltrace"):
        return (yield)
    call.excinfo = pytest.ExceptionInfo.from_exception(shorten(error))
    report = yield
    if report.failed:
        report.sections = [(name, last(text, CAPTURED_LINES)) for name, text in report.sections]
        if isinstance(report.longrepr, ExceptionChainRepr):
            report.longrepr = fit(report.longrepr)
    return report


def shorten(error: BaseException) -> BaseException:
    """Return the error without groups of one error, and without the frames of libraries."""
    frames = [*frames_of(error)]
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
        frames += frames_of(error)
    if isinstance(error, BaseExceptionGroup):
        whole = error
        error = whole.derive([shorten(each) for each in whole.exceptions])
        error.__cause__ = whole.__cause__
        error.__context__ = whole.__context__
        error.__suppress_context__ = whole.__suppress_context__
    if error.__cause__ is not None:
        error.__cause__ = shorten(error.__cause__)
    elif isinstance(error, trio.TooSlowError | trio.Cancelled):
        error.__suppress_context__ = True
        for place in waited_at(error.__context__):
            error.add_note(place)
    elif error.__context__ is not None and not error.__suppress_context__:
        error.__context__ = shorten(error.__context__)
    following = None
    for frame in reversed([each for each in frames if is_own(each)] or frames):
        following = TracebackType(following, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return error.with_traceback(following)


def waited_at(error: BaseException | None) -> Iterator[str]:
    """Yield where cancelled tasks waited."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from waited_at(each)
    elif isinstance(error, trio.Cancelled):
        for entry in [each for each in frames_of(error) if is_own(each)][-1:]:
            path = Path(entry.tb_frame.f_code.co_filename).relative_to(ROOT)
            yield f"waited at {path}:{entry.tb_lineno}, in {entry.tb_frame.f_code.co_name}"


def frames_of(error: BaseException) -> Iterator[TracebackType]:
    """Yield the frames of an error's traceback, outermost first."""
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def is_own(entry: TracebackType) -> bool:
    """Whether a frame belongs to the project's code."""
    path = Path(entry.tb_frame.f_code.co_filename)
    return path.is_relative_to(ROOT) and "site-packages" not in path.parts


def fit(whole: ExceptionChainRepr) -> ExceptionChainRepr:
    """Cut a failure report to its last lines."""
    if whole.reprcrash is not None:
        # The summary at the end of the run has one line per test.
        whole.reprcrash.message = whole.reprcrash.message.partition("\n")[0]
    text = str(whole)
    if text.count("\n") <= REPORT_LINES:
        return whole
    lines = ReprTracebackNative([last(text, REPORT_LINES)])
    return ExceptionChainRepr([(lines, whole.reprcrash, None)])


def last(text: str, count: int) -> str:
    """Return the last lines of a text."""
    lines = text.splitlines(keepends=True)
    left_out = len(lines) - count
    if left_out <= 0:
        return text
    return f"({left_out} lines omitted; --full-trace shows all)\n{''.join(lines[-count:])}\n"
