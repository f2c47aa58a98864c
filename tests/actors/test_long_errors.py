"""Texts of exceptions are cut, even if a message has 50 MB."""

import logging
import traceback
from typing import Any

import pytest
import trio

from okibi.actors import ActorExited, Server, crashed, logs, start
from okibi.actors.logs import TRACEBACK_LIMIT, traceback_text
from okibi.actors.safe_repr import INLINE_LIMIT, cut, error_text

LONG = "x" * 2_000_000


class Loud(Server):
    async def shout(self) -> None:
        error = ValueError(LONG)
        error.add_note(LONG)
        raise error from KeyError(LONG)

    async def shout_in_a_group(self) -> None:
        voices = [ValueError(LONG), KeyError(LONG)]
        raise ExceptionGroup(LONG, voices)


@pytest.mark.parametrize("method", [Loud.shout, Loud.shout_in_a_group])
async def test_a_long_message_is_cut_in_the_report_and_for_callers(
    method: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told = ""
    with pytest.raises(ExceptionGroup):  # noqa: PT012
        async with trio.open_nursery() as nursery:
            loud = await start(nursery, Loud)
            with trio.CancelScope(shield=True):
                try:
                    await loud.call(method)
                except ActorExited as gone:
                    told = str(gone)

    [record] = caplog.records
    assert len(told) < 2 * INLINE_LIMIT
    assert len(logging.Formatter().format(record)) < TRACEBACK_LIMIT + 4 * INLINE_LIMIT
    assert len(str(record.__dict__["report"].traceback)) < TRACEBACK_LIMIT + INLINE_LIMIT
    assert " [cut]" in told


def test_a_cut_text_ends_with_a_mark() -> None:
    assert error_text(ValueError("abcdef"), 3) == "abc [cut]"
    assert error_text(ValueError("abc"), 3) == "abc"
    assert str(crashed(ValueError(LONG))).endswith(" [cut])")


def test_a_subclass_of_str_is_cut_without_calling_its_methods() -> None:
    class Text(str):
        def __len__(self) -> int:
            raise SystemExit

        def __getitem__(self, _: object) -> str:
            raise SystemExit

    assert cut(Text("abcdef"), 3) == "abc [cut]"


def test_traceback_text_is_what_python_prints() -> None:
    def fail() -> None:
        try:
            raise KeyError("one")
        except KeyError as one:
            raise ExceptionGroup("two", [ValueError("three")]) from one

    with pytest.raises(ExceptionGroup) as raised:
        fail()

    assert traceback_text(raised.value) == "".join(traceback.format_exception(raised.value))


def test_exc_info_outside_an_except_block_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs.logger("okibi.actors").error("nothing has failed", exc_info=True)

    assert caplog.records[0].exc_text == "NoneType: None"
