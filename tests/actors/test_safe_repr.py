"""What is shown in logs and errors: short, and never a reason for the news of an end to fail."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.lowlevel import current_task

from okibi.actors import NORMAL, Server, logs, shutdown, start
from okibi.actors.safe_repr import brief, class_name, misplaced, said, task_name
from okibi.actors.status import show


class Unspeakable(Exception):
    """Its words are code of a user's, and end the process."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 1000, "'" + "x" * 47 + "..." + "x" * 48 + "'"),
        (10**5000, "<int, its repr raised ValueError>"),
        ([1, 10**5000], "[1, <int, its repr raised ValueError>]"),
        (Unspeakable(), "<Unspeakable, its repr raised SystemExit>"),
    ],
    ids=["long", "a number that Python does not print", "one inside", "one that exits"],
)
def test_a_value_is_shown_in_short_whatever_its_repr_does(value: object, text: str) -> None:
    assert brief(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-1, "-1"),
        (None, "None"),
        ("secret", "str[6]"),
        (Server, "Server"),
        (start, "start"),
        (NORMAL, "ExitReason"),
    ],
)
def test_an_error_names_a_misplaced_value_by_its_type(value: object, text: str) -> None:
    assert misplaced(value) == text


def test_what_an_exception_cannot_say_is_said_for_it() -> None:
    assert said(ValueError("broken")) == "broken"
    assert said(Unspeakable()) == "<its text raised SystemExit>"


def test_a_reason_with_such_a_detail_can_be_told() -> None:
    assert str(shutdown(10**5000)) == "shutdown (int)"


class Interrupted(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


class Told(Exception):
    """Whoever formats its traceback reads this."""

    def __getattribute__(self, name: str) -> object:
        raise KeyboardInterrupt


class Redacts(Server):
    def format_status(self, _: object) -> Any:
        raise KeyboardInterrupt


ASK = pytest.mark.parametrize(
    "ask",
    [
        lambda: said(Interrupted()),
        lambda: brief(Interrupted()),
        lambda: show(Redacts()),
        lambda: logs.logger("okibi.actors").warning("%s", Interrupted()),
        lambda: logs.traceback_text(Told()),
    ],
)


@ASK
def test_ctrl_c_is_not_discarded(ask: Callable[[], object]) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask()


class Job:
    def __repr__(self) -> str:
        return "Job(token='tok-9f8e7d')"


async def test_a_task_is_named_by_its_function_or_the_text_it_was_given() -> None:
    told = dict[str, str]()

    async def tell(key: str) -> None:
        told[key] = task_name(current_task(), "/top/('user', 7)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell, "function")
        nursery.start_soon(tell, "text", name="refresh-cache 7")
        nursery.start_soon(tell, "actor", name="/top/('user', 7)")
        nursery.start_soon(tell, "repr", name=Job())

    function = "test_a_task_is_named_by_its_function_or_the_text_it_was_given.<locals>.tell"
    assert told == {
        "function": f"{__name__}.{function}",
        "text": "refresh-cache 7",
        "actor": "/top/('user', 7)",
        "repr": function,
    }


def test_the_name_of_a_class_is_cut() -> None:
    assert class_name(type("X" * 3_000_000, (), {})) == "X" * 200 + " [cut]"
    assert class_name(Job) == "Job"
