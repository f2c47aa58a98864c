"""What an exception says may be 50 MB long. No text that okibi makes of it is."""

import logging
import traceback
from typing import Any

import pytest
import trio

from okibi.actors import ActorExited, Server, crashed, logs, start
from okibi.actors.logs import TRACEBACK, traceback_text
from okibi.actors.safe_repr import IN_A_SENTENCE, cut, said

LONG = "x" * 2_000_000


class Loud(Server):
    async def shout(self) -> None:
        error = ValueError(LONG)
        error.add_note(LONG)
        raise error from KeyError(LONG)

    async def shout_in_many_voices(self) -> None:
        voices = [ValueError(LONG), KeyError(LONG)]
        raise ExceptionGroup(LONG, voices)


@pytest.mark.parametrize("method", [Loud.shout, Loud.shout_in_many_voices])
async def test_a_long_text_is_cut_in_the_report_and_in_what_callers_are_told(
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
    assert len(told) < 2 * IN_A_SENTENCE
    assert len(logging.Formatter().format(record)) < TRACEBACK + 4 * IN_A_SENTENCE
    assert len(str(record.__dict__["report"].traceback)) < TRACEBACK + IN_A_SENTENCE
    assert " [cut]" in told


def test_a_text_that_is_cut_says_so() -> None:
    assert said(ValueError("abcdef"), 3) == "abc [cut]"
    assert said(ValueError("abc"), 3) == "abc"
    assert str(crashed(ValueError(LONG))).endswith(" [cut])")


def test_a_text_is_cut_whatever_its_class_does() -> None:
    class Text(str):
        def __len__(self) -> int:
            raise SystemExit

        def __getitem__(self, _: object) -> str:
            raise SystemExit

    assert cut(Text("abcdef"), 3) == "abc [cut]"


def test_a_short_traceback_is_what_python_prints() -> None:
    def fail() -> None:
        try:
            raise KeyError("one")
        except KeyError as one:
            raise ExceptionGroup("two", [ValueError("three")]) from one

    with pytest.raises(ExceptionGroup) as raised:
        fail()

    assert traceback_text(raised.value) == "".join(traceback.format_exception(raised.value))


def test_outside_an_except_block_there_is_no_exception_to_cut(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs.logger("okibi.actors").error("nothing has failed", exc_info=True)

    assert caplog.records[0].exc_text == "NoneType: None"
