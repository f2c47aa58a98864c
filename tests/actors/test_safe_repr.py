"""Texts for logs and errors: short, and computed without raising."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.lowlevel import current_task

from okibi.actors import NORMAL, Server, logs, shutdown, start
from okibi.actors.safe_repr import class_name, describe_value, error_text, short_repr, task_name
from okibi.actors.status import show


class Unspeakable(Exception):
    """Its `__str__` is user code that raises SystemExit."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 1000, "'" + "x" * 47 + "..." + "x" * 48 + "'"),
        (10**5000, "<int, its __repr__ raised ValueError>"),
        ([1, 10**5000], "[1, <int, its __repr__ raised ValueError>]"),
        (Unspeakable(), "<Unspeakable, its __repr__ raised SystemExit>"),
    ],
    ids=["long", "a number that Python does not print", "one inside", "one that exits"],
)
def test_short_repr_is_short_and_never_raises(value: object, text: str) -> None:
    assert short_repr(value) == text


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
def test_an_error_describes_a_wrong_value_by_its_type(value: object, text: str) -> None:
    assert describe_value(value) == text


def test_a_raising_str_is_named_instead_of_the_message() -> None:
    assert error_text(ValueError("broken")) == "broken"
    assert error_text(Unspeakable()) == "<its __str__ raised SystemExit>"


def test_a_reason_whose_detail_raises_has_a_text() -> None:
    assert str(shutdown(10**5000)) == "shutdown (int)"


class Interrupted(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


class Told(Exception):
    """Formatting its traceback reads its attributes."""

    def __getattribute__(self, name: str) -> object:
        raise KeyboardInterrupt


class Redacts(Server):
    def format_status(self, _: object) -> Any:
        raise KeyboardInterrupt


ASK = pytest.mark.parametrize(
    "ask",
    [
        lambda: error_text(Interrupted()),
        lambda: short_repr(Interrupted()),
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


async def test_a_task_is_named_by_its_function_or_its_plain_name() -> None:
    told = dict[str, str]()

    async def tell(key: str) -> None:
        told[key] = task_name(current_task(), "/top/('user', 7)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell, "function")
        nursery.start_soon(tell, "text", name="refresh-cache 7")
        nursery.start_soon(tell, "actor", name="/top/('user', 7)")
        nursery.start_soon(tell, "repr", name=Job())

    function = "test_a_task_is_named_by_its_function_or_its_plain_name.<locals>.tell"
    assert told == {
        "function": f"{__name__}.{function}",
        "text": "refresh-cache 7",
        "actor": "/top/('user', 7)",
        "repr": function,
    }


def test_a_long_class_name_is_cut() -> None:
    assert class_name(type("X" * 3_000_000, (), {})) == "X" * 200 + " [cut]"
    assert class_name(Job) == "Job"
