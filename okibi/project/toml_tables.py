"""Convert the tables of a TOML file into settings, and name all their mistakes.

A field of a settings class is a key of its table. The field's annotation says which values the key
may have: msgspec compares, and `msgspec.Meta` describes them for the user. A wrong value counts as
missing, so that one run reports all mistakes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Any, Protocol, TypeVar, cast, get_args, get_origin, runtime_checkable

import attrs
import msgspec
from msgspec import Meta

from .bad_input import BadInput

T = TypeVar("T")

# The metadata of a field that is no key of the table.
NO_KEY = MappingProxyType({"no_key": True})


@runtime_checkable
class Ruled(Protocol):
    """Settings with rules between their keys."""

    def find_mistakes(self) -> Iterable[str]:
        """Yield a sentence for each rule that is broken; it begins with the key to change."""
        ...


# -- what a key may have


def integer(low: int, high: int, unit: str = "") -> Meta:
    """Describe an integer from `low` to `high`."""
    expected = f"an integer from {low} to {high}{unit and f' ({unit})'}"
    return Meta(ge=low, le=high, description=expected)


def text(expected: str, pattern: str = ".+") -> Meta:
    """Describe a text that matches the whole pattern."""
    return Meta(pattern=rf"(?s)\A(?:{pattern})\Z", description=expected)


def list_of(expected: str) -> Meta:
    """Describe a list with at least one item. A single value is a list of one."""
    return Meta(description=expected)


def one_of(choices: Sequence[str | int], expected: str = "") -> Meta:
    """Describe one of some values. For texts, upper and lower case are the same."""
    expected = expected or " or ".join(map(repr, choices))
    return Meta(description=expected, extra={"choices": choices})


# -- tables


def find_table(
    name: str, table: Mapping[str, object], key: str, mistakes: list[str]
) -> dict[str, object]:
    """Find a table below another; an empty one if the key is missing.

    Args:
        name, table, mistakes: as in `read_table`; the name is empty for the whole file.
        key: the key.
    """
    below = table.get(key, {})
    if isinstance(below, dict):
        return cast("dict[str, object]", below)
    mistakes.append(f"{name and f'[{name}] '}{_refuse(key, below, 'a table')}")
    return {}


def read_table(
    kind: type[T], name: str, table: Mapping[str, object], mistakes: list[str]
) -> T | None:
    """Convert a table into settings.

    Args:
        kind: the class of the settings, made by attrs.
        name: the table's name in the file, such as `tool.okibi.functions.visits`.
        table: the content.
        mistakes: a sentence is added for each mistake.

    Returns:
        The settings; None if a key without a default is missing or wrong.
    """
    values = read_keys(kind, name, table, mistakes)
    if not values.keys() >= {*_required(kind)}:
        return None
    made = kind(**values)
    add_broken_rules(made, name, table.keys() - values.keys(), mistakes)
    return made


def read_keys(
    kind: type,
    name: str,
    table: Mapping[str, object],
    mistakes: list[str],
    others: Collection[str] = (),
) -> dict[str, Any]:
    """Convert the keys of a table one by one; leave out those that are wrong.

    Args:
        kind, name, table, mistakes: as in `read_table`.
        others: keys that the caller reads.
    """
    known = {field.name: field.type for field in attrs.fields(kind) if field.metadata != NO_KEY}
    values = dict[str, Any]()
    for key, value in table.items():
        if key in others:
            continue
        try:
            if key not in known:
                raise ValueError(_describe_unknown(key, [*{**known, **dict.fromkeys(others)}]))
            values[key] = _read_key(key, value, known[key], name, mistakes)
        except ValueError as error:
            # A table has added its mistakes, and says nothing more.
            mistakes += [f"[{name}] {each}" for each in error.args]
    for key in _required(kind):
        if key not in table:
            mistakes.append(f"[{name}] {key}: missing; write {_split(known[key])[1].description}")
    return values


def add_broken_rules(
    settings: object, name: str, wrong: Collection[str], mistakes: list[str]
) -> None:
    """Add the mistakes between keys, except those of keys that are wrong themselves."""
    if isinstance(settings, Ruled):
        mistakes += [
            f"[{name}] {sentence}"
            for sentence in settings.find_mistakes()
            if sentence.split(" ")[0].rstrip(":") not in wrong
        ]


def refuse_mistakes(file: str, mistakes: Sequence[str]) -> None:
    """Report mistakes, one line each.

    Raises:
        BadInput: there are mistakes.
    """
    if mistakes:
        raise BadInput("\nokibi: ".join(f"{file}: {mistake}" for mistake in mistakes))


def _required(kind: type) -> list[str]:
    return [
        field.name
        for field in attrs.fields(kind)
        if field.default is attrs.NOTHING and field.metadata != NO_KEY
    ]


def _describe_unknown(key: str, known: Sequence[str]) -> str:
    close = get_close_matches(key, known, 1)
    advice = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return f"unknown key {key!r}; {advice}"


# -- keys


def _read_key(key: str, value: object, annotation: Any, name: str, mistakes: list[str]) -> object:
    """Convert the value of a key.

    Raises:
        ValueError: the value is wrong; without a sentence if its table has added mistakes.
    """
    plain, meta = _split(annotation)
    # The class of a table, of a table or None, or of an array of tables.
    kind = next((each for each in (plain, *get_args(plain)) if attrs.has(each)), None)
    if kind is None:
        return _convert(key, value, annotation)
    below = f"{name}.{key}"
    if get_origin(plain) is Sequence:
        if not value or not _fits(value, list[dict[str, object]]):
            raise ValueError(_refuse(key, value, f"tables, written as [[{below}]]"))
        tables = cast("list[dict[str, object]]", value)
        read = [read_table(kind, below, table, mistakes) for table in tables]
        return tuple(each for each in read if each is not None)
    text_key = getattr(kind, "TEXT_KEY", None)
    if isinstance(value, str) and text_key is not None:
        return kind(**{text_key: _convert(key, value, attrs.fields_dict(kind)[text_key].type)})
    if value is False:
        return None
    table: object = {} if value is True else value
    if not _fits(table, dict[str, object]):
        expected = "a table" if _required(kind) else "a table, or true"
        raise ValueError(_refuse(key, table, meta.description or expected))
    made = read_table(kind, below, cast("dict[str, object]", table), mistakes)
    if made is None:
        raise ValueError
    return made


def _convert(key: str, value: object, annotation: Any) -> object:
    """Convert a value that is no table. The arguments and errors are those of `_read_key`."""
    plain, meta = _split(annotation)
    if get_origin(plain) is Sequence:
        items = cast("list[object]", value) if _fits(value, list[object]) else [value]
        wrong = [item for item in items if not _fits(item, get_args(plain)[0])]
        if wrong or not items:
            shown = wrong if len(wrong) < len(items) else value
            raise ValueError(_refuse(key, shown, meta.description))
        return tuple(items)
    choices: Sequence[object] = (meta.extra or {}).get("choices", ())
    if isinstance(value, str):
        value = next((each for each in choices if str(each).lower() == value.lower()), value)
    if not _fits(value, annotation) or (choices and value not in choices):
        close = get_close_matches(str(value), map(str, choices), 1)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(_refuse(key, value, meta.description) + advice)
    return value


def _split(annotation: Any) -> tuple[Any, Meta]:
    """Split an annotation into the type, and what describes its values."""
    if get_origin(annotation) is not Annotated:
        return annotation, Meta(description="true or false" if annotation is bool else None)
    return get_args(annotation)[:2]


def _fits(value: object, annotation: Any) -> bool:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return False
    return True


def _refuse(key: str, value: object, expected: str | None) -> str:
    return f"{key} = {_as_toml(value)}: must be {expected}"


def _as_toml(value: object) -> str:
    """Write a value as in the file, without its content if the value is a table."""
    if isinstance(value, bool):
        return str(value).lower()
    return "{...}" if isinstance(value, dict) else repr(value)
