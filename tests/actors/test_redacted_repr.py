"""Values in logs with OKIBI_CRASH_REPORTS=full."""

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
from okibi.actors.redacted_repr import redacted_repr
from okibi.actors.request import Request
from okibi.actors.safe_repr import CRASH_REPORTS
from okibi.actors.status import show


class Own:
    def __repr__(self) -> str:
        raise AssertionError


class Color(enum.Enum):
    RED = 1
    API_KEY = 2


class Header(enum.StrEnum):
    AUTH = "authorization"
    PASSWORD = "p"


class Text(str):
    def lower(self) -> str:
        raise AssertionError


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
        (10**5000, "<int, its __repr__ raised ValueError>"),
        ([1, "a", {2}], "[1, 'a', {2}]"),
        ({"a": 1, "password": "pw"}, "{'a': 1, 'password': ***}"),
        ({b"cookie": b"a=b"}, "{b'cookie': ***}"),
        ({1: {"key": {"a": 1}}}, "{1: {'key': ***}}"),
        ({Header.AUTH: "a"}, "{Header.AUTH: ***}"),
        ({Header.PASSWORD: "a"}, "{Header.PASSWORD: ***}"),
        ({Color.API_KEY: "a", Color.RED: 1}, "{Color.API_KEY: ***, Color.RED: 1}"),
        ({Text("Cookie"): "a=b"}, "{Text: ***}"),
        ([{"name": "Authorization", "value": "x"}], "[{'name': 'Authorization', 'value': ***}]"),
        ([{"Name": "db", "Value": "d"}], "[{'Name': 'db', 'Value': 'd'}]"),
        ({"Key": "Token", "StringValue": "t", "n": 1}, "{'Key': ***, 'StringValue': ***, 'n': 1}"),
        ({"name": "password", "value": None}, "{'name': 'password', 'value': None}"),
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
def test_a_value_is_shown_without_its_secrets(value: object, text: str) -> None:
    assert redacted_repr(value) == text


def test_deeply_nested_values_are_not_shown() -> None:
    nested: Any = "deep"
    for _ in range(9):
        nested = {"a": nested}
    card: Any = "deep"
    for _ in range(9):
        card = Card(owner=card)

    assert "deep" not in redacted_repr(nested) + redacted_repr(card)
    assert "..." in redacted_repr(nested)
    assert redacted_repr({"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}).endswith("{}}}}}}}")


@attrs.define(eq=False)
class Vault(Server):
    owner: str = "bob"
    pin: Secret[int] = 1234
    api_key: str = "key"

    async def open(self, pin: Secret[int], tries: int, *more: int, token: str = "") -> None: ...


OPEN = Request("open", (1234, 3, 4, 5), {"token": "tok", "owner": "eve"}, None, True)


def test_types_and_lengths_are_shown_by_default() -> None:
    shown = show(Vault(), OPEN, [1, 2])

    assert shown["state"] == {"owner": "str[3]", "pin": "***", "api_key": "***"}
    assert shown["message"] == "open(***, int, int, int, token=***, owner=str[3])"
    assert shown["reply"] == "list[2]"


def test_a_secret_that_is_none_is_shown_as_none() -> None:
    unset: Any = None
    request = Request("open", (None, 3), {"token": None}, None, True)

    shown = show(Vault(pin=unset), request)

    assert shown["state"] == {"owner": "str[3]", "pin": "None", "api_key": "***"}
    assert shown["message"] == "open(None, int, token=None)"


def test_values_are_shown_if_the_variable_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CRASH_REPORTS, "full")

    shown = show(Vault(), OPEN, [1, 2])

    assert shown["state"] == {"owner": "'bob'", "pin": "***", "api_key": "***"}
    assert shown["message"] == "open(***, 3, 4, 5, token=***, owner='eve')"
    assert shown["reply"] == "[1, 2]"


def test_arguments_of_an_unknown_method_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CRASH_REPORTS, "full")

    assert show(Vault(), Request("other", (1, "a"), {"b": 2}, None, True))["message"] == (
        "other(int, str[1], b=int)"
    )


def test_only_a_text_put_there_by_format_status_is_shown() -> None:
    class Discreet(Vault):
        def format_status(self, status: Status) -> Status:
            state = {**status.state, "owner": "b.", "pin": "hidden", "size": 3}
            return attrs.evolve(status, state=state, message="opened", reply=8, reason=Own())

    shown = show(Discreet(), OPEN, 7, ValueError("no"))

    assert shown["state"] == {"owner": "'b.'", "pin": "***", "api_key": "***", "size": "int"}
    assert (shown["message"], shown["reply"], shown["reason"]) == ("'opened'", "int", "Own")


@pytest.mark.parametrize("asked_for", ["types", "full"])
def test_a_secret_moved_by_format_status_is_not_shown(
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
