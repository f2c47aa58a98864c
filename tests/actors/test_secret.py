"""Fields and parameters are secret by a mark or by their name."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

import attrs
import pytest

from okibi.actors import Secret, Server
from okibi.actors.secret import SECRET, Parameters, is_secret_name, parameters_of, secret_fields

if TYPE_CHECKING:
    from decimal import Decimal

Pin = Secret[str]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("db_Password", True),
        ("TOKEN", True),
        ("client_secret", True),
        ("api_key", True),
        ("Authorization", True),
        ("cookies", True),
        ("apiKey", True),
        ("apikey", True),
        ("x-api-key", True),
        ("session_token", True),
        ("sessionToken", True),
        ("tokens", True),
        ("refresh_tokens", True),
        ("keyboard_token", True),
        ("passwd", True),
        ("db_pwd", True),
        ("aws_credentials", True),
        ("auth", True),
        ("basicAuth", True),
        ("oauth_header", True),
        ("authorizer", True),
        ("max_tokens_secret", True),
        ("max_tokens", False),
        ("maxTokens", False),
        ("total-tokens", False),
        ("monkey", False),
        ("author", False),
        ("coauthors", False),
        ("authorId", False),
        ("authority", False),
        ("authenticated", False),
        ("is_authorized", False),
        ("keyword", False),
        ("name", False),
        ("amount", False),
    ],
)
def test_a_name_may_suggest_a_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


@attrs.define(eq=False)
class Base(Server):
    pin: Pin = ""


@attrs.define(eq=False)
class Marked(Base):
    card: Optional[Secret[str]] = None  # noqa: UP045, users may write it
    limit: int = attrs.field(default=1, metadata={"secret": True})
    cvc: str = attrs.field(default="", repr=lambda _: "...")
    owner: str = "bob"

    async def charge(self, pin: Pin, amount: int, *rest: int, card: Secret[str]) -> None: ...


@dataclass
class Data:
    pin: str = field(metadata={"secret": True})
    owner: str = "bob"


class Others(Server):
    async def charge(self, amount: int, **more: Secret[str]) -> None: ...

    async def store(self, **secrets: str) -> None: ...


class Late(Base):
    """Its annotations use names imported for type checkers only."""

    price: "Decimal"
    card: "Secret[str]"
    number: "int"

    async def charge(self, card: "Secret[Decimal]", amount: "Decimal") -> None: ...


def test_marked_fields_of_base_classes_are_found() -> None:
    assert secret_fields(Marked) == {"pin", "card", "limit", "cvc"}


def test_a_dataclass_marks_a_field_by_its_metadata() -> None:
    assert secret_fields(Data) == {"pin"}


@pytest.mark.parametrize(("method", "others"), [("charge", "more"), ("store", "secrets")])
def test_a_marked_kwargs_hides_each_keyword(method: str, others: str) -> None:
    parameters = parameters_of(Others, method)

    assert parameters is not None
    assert parameters.others == others
    assert parameters.hides("city")
    assert parameters.hides("amount") is (method == "store")


def test_marks_are_found_in_annotations_that_cannot_be_evaluated() -> None:
    assert {"card"} <= secret_fields(Late)
    assert "number" not in secret_fields(Late)
    assert parameters_of(Late, "charge") == Parameters(
        ("card", "amount"), None, frozenset({"card"})
    )


def test_the_parameters_of_a_method_are_found() -> None:
    assert parameters_of(Marked, "charge") == Parameters(
        ("pin", "amount"), "rest", frozenset({"pin", "card"})
    )


def test_a_decorated_method_has_the_parameters_of_the_original() -> None:
    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any: ...

        return run

    class Decorated(Server):
        @decorated
        async def charge(self, pin: Secret[str]) -> None: ...

    assert parameters_of(Decorated, "charge") == Parameters(("pin",), None, frozenset({"pin"}))


@pytest.mark.parametrize("name", ["missing", "partial", "static"])
def test_parameters_of_anything_but_a_plain_method_are_none(name: str) -> None:
    class Odd(Server):
        partial = functools.partial(print)

        @staticmethod
        async def static(pin: str) -> None: ...

    assert parameters_of(Odd, name) is None


def test_the_repr_of_the_mark_is_secret() -> None:
    assert repr(SECRET) == "SECRET"
