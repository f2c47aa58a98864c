"""What logging raises harms nobody of okibi's who logs."""

import logging
import logging.config
import os
from collections.abc import Iterator

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
def past_the_runtime_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of the runtime may have said where such words go."""
    monkeypatch.setattr(logs.Unfailing, "instead", staticmethod(logs.write_to_stderr))


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    handler = Refusing()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_a_filter_that_raises_loses_the_line_which_is_told_of(
    refusing: Refusing, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.logger(NAME).warning("%s of %d", "one", 2)

    said = capfd.readouterr().err
    place = f"{NAME}, {__file__}:"
    assert said.startswith(f"a line could not be logged ({place}")
    assert said.endswith("): LookupError\n")


def test_so_does_a_factory_of_records_that_raises(
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


def test_who_has_other_words_for_what_failed_is_told(refusing: Refusing) -> None:
    with pytest.raises(LookupError):
        logs.log_or_raise(logs.logger(NAME), logging.ERROR, "%s", "one")

    (record,) = refusing.seen
    assert record.pathname == __file__


def test_a_line_bears_the_place_that_logs_it(refusing: Refusing) -> None:
    def place() -> None:
        logs.logger(NAME).warning("here")

    place()

    (record,) = refusing.seen
    assert (record.funcName, record.pathname) == ("place", __file__)


def test_the_loggers_of_others_stay_what_they_were() -> None:
    logs.logger(NAME)

    assert type(logging.getLogger("tests.actors.another")) is logging.Logger


def test_dictconfig_does_not_disable_it() -> None:
    logger = logs.logger(NAME)

    logging.config.dictConfig({"version": 1})

    assert logger.isEnabledFor(logging.ERROR)
    assert not logger.disabled


def test_where_there_is_no_stderr_either_its_words_are_gone_without_an_error() -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        logs.write_to_stderr("nobody reads this")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
