"""Decide which fields, parameters and keys are secret: by a mark, or by their name.

    @attrs.define(eq=False)
    class Payments(Server):
        account: Secret[str]                                        # a mark
        limit: int = attrs.field(metadata={"secret": True})         # a mark, also on a dataclass
        api_key: str                                                # a name

        async def charge(self, card: Secret[str], amount: int) -> None: ...

To a type checker `Secret[str]` is `str`. Crash reports, traces, logs of events, snapshots and
`debug.get_status` show `***` in place of a secret. Code reads the value as usual.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Annotated, Any, Final, NamedTuple, TypeVar, cast, get_args, get_type_hints

from .signatures import annotations_as_text, signature

T = TypeVar("T")

HIDDEN: Final = "***"
NAMES: Final = (
    "password", "passwd", "pwd", "token", "secret", "key", "credential", "auth", "cookie",
)  # fmt: skip
# Common names that contain one of NAMES and are no secrets. In doubt, a name is secret.
_HARMLESS: Final = re.compile(
    r"(?:max|min|num|total|prompt|completion)[_-]?tokens|tokeniz|monkey|keyboard|keyword"
    r"|(?:authori[sz]|authenticat)ed|author(?!i[sz])"
)


class _SecretMark:
    def __repr__(self) -> str:
        return "SECRET"


SECRET: Final = _SecretMark()

Secret = Annotated[T, SECRET]
"""Marks a field or parameter as secret: crash reports, traces and snapshots show `***`.

    password: Secret[str]

To a type checker `Secret[str]` is `str`.
"""


class Parameters(NamedTuple):
    """The parameters of a method.

    Attributes:
        names: names of the positional parameters, without `self`.
        rest: name of `*args`, or None.
        secret: names of the marked parameters.
        others: name of `**kwargs`, or None.
    """

    names: tuple[str, ...]
    rest: str | None
    secret: frozenset[str]
    others: str | None = None

    def hides(self, name: str) -> bool:
        """Return whether the argument of a parameter or keyword is secret."""
        # `names` lacks keyword-only parameters: a secret `**kwargs` hides them too.
        owner = name if name in (*self.names, self.rest) else self.others
        return self._hides(name) or (owner is not None and self._hides(owner))

    def _hides(self, name: str) -> bool:
        return name in self.secret or is_secret_name(name)


def is_secret_name(name: str) -> bool:
    """Return whether a name suggests a secret."""
    lower = _HARMLESS.sub(" ", name.lower())
    return any(each in lower for each in NAMES)


@lru_cache(256)
def secret_fields(kind: Any) -> frozenset[str]:
    """Return the names of the marked fields of a class."""
    attributes: Iterable[Any] = getattr(kind, "__attrs_attrs__", ())
    # A field has a `repr` function to show less.
    marked = {e.name for e in attributes if e.metadata.get("secret") or callable(e.repr)}
    fields: Mapping[str, Any] = getattr(kind, "__dataclass_fields__", {})
    marked |= {name for name, field in fields.items() if field.metadata.get("secret")}
    return frozenset(marked | _marked_names(kind, inspect.getmro(kind)))


@lru_cache(256)
def parameters_of(kind: Any, method: str) -> Parameters | None:
    """Return the parameters of a method; None if the class has no plain method of this name."""
    own = (vars(each)[method] for each in inspect.getmro(kind) if method in vars(each))
    function = next(own, None)
    if not isinstance(function, FunctionType):
        return None
    every = list(signature(function).parameters.values())
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rest = [each.name for each in every if each.kind is inspect.Parameter.VAR_POSITIONAL]
    others = [each.name for each in every if each.kind is inspect.Parameter.VAR_KEYWORD]
    return Parameters(
        tuple(each.name for each in every if each.kind in places)[1:],
        rest[0] if rest else None,
        _marked_names(inspect.unwrap(function), ()),
        others[0] if others else None,
    )


def _marked_names(holder: Callable[..., Any], bases: Iterable[type[Any]]) -> frozenset[str]:
    try:
        hints: Mapping[str, Any] = get_type_hints(holder, include_extras=True)
    except Exception:
        # An annotation uses a name imported for type checkers only: look at its text.
        own = [annotations_as_text(each) for each in (holder, *bases)]
        hints = {name: text for each in reversed(own) for name, text in each.items()}
    return frozenset(name for name, hint in hints.items() if _is_marked(hint))


def _is_marked(hint: object) -> bool:
    if isinstance(hint, str):
        return re.search(r"\bSecret\b", hint) is not None
    marks = cast("tuple[object, ...]", getattr(hint, "__metadata__", ()))
    return any(each is SECRET for each in marks) or any(map(_is_marked, get_args(hint)))
