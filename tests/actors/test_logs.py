"""SafeLogger: an error inside logging never reaches the code that logs."""

import logging
import logging.config
import os
from collections.abc import Callable, Iterator

import pytest

from okibi.actors import logs

NAME = "tests.actors.test_logs"


class Refusing(logging.Handler):
    """A handler with a filter that raises."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(self._refuse)
        self.seen: list[logging.LogRecord] = []

    def _refuse(self, record: logging.LogRecord) -> bool:
        self.seen.append(record)
        raise LookupError("no tenant")

    def emit(self, record: logging.LogRecord) -> None: ...


@pytest.fixture(autouse=True)
def default_write_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the default, which tests of the runtime may have replaced."""
    monkeypatch.setattr(logs.SafeLogger, "write_fallback", staticmethod(logs.write_to_stderr))


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    handler = Refusing()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_a_raising_filter_loses_the_line_and_is_reported(
    refusing: Refusing, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.logger(NAME).warning("%s of %d", "one", 2)

    said = capfd.readouterr().err
    place = f"{NAME}, {__file__}:"
    assert said.startswith(f"a line could not be logged ({place}")
    assert said.endswith("): LookupError\n")


def test_a_raising_record_factory_loses_the_line_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> logging.LogRecord:
        raise RuntimeError("broken")

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(broken)
    try:
        logs.logger(NAME).error("100 %")
    finally:
        logging.setLogRecordFactory(before)

    assert capfd.readouterr().err.endswith("): RuntimeError\n")


def test_log_or_raise_raises_the_error_of_a_filter(refusing: Refusing) -> None:
    with pytest.raises(LookupError):
        logs.log_or_raise(logs.logger(NAME), logging.ERROR, "%s", "one")

    (record,) = refusing.seen
    assert record.pathname == __file__


def test_a_record_has_the_place_of_its_caller(refusing: Refusing) -> None:
    def place() -> None:
        logs.logger(NAME).warning("here")

    place()

    (record,) = refusing.seen
    assert (record.funcName, record.pathname) == ("place", __file__)


def test_other_loggers_stay_plain_loggers() -> None:
    logs.logger(NAME)

    assert type(logging.getLogger("tests.actors.another")) is logging.Logger


def test_dictconfig_does_not_disable_a_safe_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logs.logger(NAME)
    # Other loggers would stay disabled after this test.
    monkeypatch.setattr(logging.root.manager, "loggerDict", {NAME: logger})

    logging.config.dictConfig({"version": 1})

    assert logger.isEnabledFor(logging.ERROR)
    assert not logger.disabled


class Unreadable(Exception):
    """Formatting its traceback fails."""

    def __getattribute__(self, name: str) -> object:
        raise ValueError(name)


@pytest.mark.parametrize("text", [logs.traceback_text, lambda e: logs.short_traceback(e)[0]])
def test_an_error_that_cannot_be_formatted_has_a_plain_text(
    text: Callable[[BaseException], str],
) -> None:
    assert "Unreadable" in text(Unreadable())


def test_write_to_stderr_without_stderr_raises_nothing() -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        logs.write_to_stderr("unread")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_ctrl_c_while_an_error_is_formatted_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("okibi.actors.short_traceback.format_exception", interrupt)

    with pytest.raises(KeyboardInterrupt):
        logs.short_traceback(ValueError("x"))


def test_a_counter_that_raises_ends_no_code_that_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = list[str]()
    monkeypatch.setattr(logs.SafeLogger, "write_fallback", staticmethod(lines.append))
    end = logs.count_with(lambda what, path, number: 1 / 0)
    try:
        logs.count(logs.CRASHES, "/a")
    finally:
        end()

    assert lines == ["Crashes could not be counted: ZeroDivisionError"]
