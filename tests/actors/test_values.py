"""Values as they are shown where values were asked for."""

import datetime
import enum
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import attrs
import msgspec
import pytest

from okibi.actors import Secret, Server, Status
from okibi.actors.request import Request
from okibi.actors.safe_repr import CRASH_REPORTS
from okibi.actors.status import show
from okibi.actors.values import text_of


class Own:
    def __repr__(self) -> str:
        raise AssertionError


class Color(enum.Enum):
    RED = 1


@attrs.frozen
class Card:
    number: Secret[str] = "4111"
    owner: str = "bob"
    token: str = "tok"
    hidden: str = attrs.field(default="hidden", repr=False)
    _inner: str = "inner"


@dataclass
class Data:
    owner: str = "bob"
    password: str | None = "pw"
    hidden: str = field(default="hidden", repr=False)


class Struct(msgspec.Struct):
    owner: str = "bob"
    api_key: str = "key"


class Pair(NamedTuple):
    owner: str = "bob"
    secret: str = "sesame"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (b"ab", "b'ab'"),
        ("x" * 1000, "'" + "x" * 47 + "..." + "x" * 48 + "'"),
        (10**5000, "<int, its repr raised ValueError>"),
        ([1, "a", {2}], "[1, 'a', {2}]"),
        ({"a": 1, "password": "pw"}, "{'a': 1, 'password': ***}"),
        ({b"cookie": b"a=b"}, "{b'cookie': ***}"),
        ({1: {"key": {"a": 1}}}, "{1: {'key': ***}}"),
        (dict.fromkeys(range(6), 0), "{0: 0, 1: 0, 2: 0, 3: 0, ...}"),
        (OrderedDict(token=1), "OrderedDict({'token': ***})"),
        (defaultdict(int, a=1), "defaultdict({'a': 1})"),
        (MappingProxyType({"a": 1}), "mappingproxy({'a': 1})"),
        ([("cookie", "a=b"), ("accept", "*")], "[('cookie', ***), ('accept', '*')]"),
        ([["cookie", "a=b"], ["accept", "*"]], "[['cookie', ***], ['accept', '*']]"),
        ({"token": None, "key": 0}, "{'token': None, 'key': ***}"),
        ([("cookie", None), ["cookie", None]], "[('cookie', None), ['cookie', None]]"),
        (Data(password=None), "Data(owner='bob', password=None)"),
        (Color.RED, "Color.RED"),
        (datetime.date(2026, 1, 31), "datetime.date(2026, 1, 31)"),
        (Own(), "Own"),
        (ValueError("secret"), "ValueError"),
        (Card(), "Card(number=***, owner='bob', token=***)"),
        ([Card(owner="eve")], "[Card(number=***, owner='eve', token=***)]"),
        (Data(), "Data(owner='bob', password=***)"),
        (Struct(), "Struct(owner='bob', api_key=***)"),
        (Pair(), "Pair(owner='bob', secret=***)"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_is_shown_without_what_is_secret_in_it(value: object, text: str) -> None:
    assert text_of(value) == text


def test_what_lies_deep_is_not_shown() -> None:
    nested: Any = "deep"
    for _ in range(9):
        nested = {"a": nested}
    card: Any = "deep"
    for _ in range(9):
        card = Card(owner=card)

    assert "deep" not in text_of(nested) + text_of(card)
    assert "..." in text_of(nested)
    assert text_of({"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}).endswith("{}}}}}}}")


@attrs.define(eq=False)
class Vault(Server):
    owner: str = "bob"
    pin: Secret[int] = 1234
    api_key: str = "key"

    async def open(self, pin: Secret[int], tries: int, *more: int, token: str = "") -> None: ...


OPEN = Request("open", (1234, 3, 4, 5), {"token": "tok", "owner": "eve"}, None, True)


def test_by_default_types_and_lengths_are_shown() -> None:
    shown = show(Vault(), OPEN, [1, 2])

    assert shown["state"] == {"owner": "str[3]", "pin": "***", "api_key": "***"}
    assert shown["message"] == "open(***, int, int, int, token=***, owner=str[3])"
    assert shown["reply"] == "list[2]"


def test_a_secret_that_is_not_set_is_shown_as_none() -> None:
    unset: Any = None
    request = Request("open", (None, 3), {"token": None}, None, True)

    shown = show(Vault(pin=unset), request)

    assert shown["state"] == {"owner": "str[3]", "pin": "None", "api_key": "***"}
    assert shown["message"] == "open(None, int, token=None)"


def test_values_are_shown_where_the_variable_asks_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CRASH_REPORTS, "full")

    shown = show(Vault(), OPEN, [1, 2])

    assert shown["state"] == {"owner": "'bob'", "pin": "***", "api_key": "***"}
    assert shown["message"] == "open(***, 3, 4, 5, token=***, owner='eve')"
    assert shown["reply"] == "[1, 2]"


def test_of_a_method_that_is_not_known_no_values_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CRASH_REPORTS, "full")

    assert show(Vault(), Request("other", (1, "a"), {"b": 2}, None, True))["message"] == (
        "other(int, str[1], b=int)"
    )


def test_a_text_that_the_redaction_has_put_there_is_shown_and_no_other_value() -> None:
    class Discreet(Vault):
        def format_status(self, status: Status) -> Status:
            state = {**status.state, "owner": "b.", "pin": "hidden", "size": 3}
            return attrs.evolve(status, state=state, message="opened", reply=8, reason=Own())

    shown = show(Discreet(), OPEN, 7, ValueError("no"))

    assert shown["state"] == {"owner": "'b.'", "pin": "***", "api_key": "***", "size": "int"}
    assert (shown["message"], shown["reply"], shown["reason"]) == ("'opened'", "int", "Own")


@pytest.mark.parametrize("asked_for", ["types", "full"])
def test_a_secret_is_not_shown_where_the_redaction_moves_it(
    asked_for: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Moves(Vault):
        def format_status(self, status: Status) -> Status:
            request: Any = status.message
            return attrs.evolve(
                status,
                state={
                    "pin": status.state["pin"],
                    "field": status.state["api_key"],
                    "argument": request.args[0],
                    "keyword": request.kwargs["token"],
                    "owner": self.owner,
                },
                message=status.state["api_key"],
                reply=status.state["api_key"],
            )

    monkeypatch.setenv(CRASH_REPORTS, asked_for)
    request = Request("open", ("sesame", 3), {"token": "tok-9f8e7d"}, None, True)

    shown = show(Moves(), request, "ok")

    owner = "'bob'" if asked_for == "full" else "str[3]"
    hidden = dict.fromkeys(("pin", "field", "argument", "keyword"), "***")
    assert shown["state"] == {**hidden, "owner": owner}
    assert (shown["message"], shown["reply"]) == ("***", "***")
