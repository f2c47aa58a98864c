"""Read a table of a TOML file key by key, and collect every mistake in it."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import cast

import attrs

__all__ = ["TomlTable"]


@attrs.define(eq=False)
class TomlTable:
    """A table of a TOML file. Each method reads one key and returns its value or a default.

    A wrong value adds a sentence to `mistakes` and counts as missing, so that one run reports all
    mistakes. `refuse_unknown` comes last: a key that no method has read is unknown.

    Args:
        name: the table's name in the file, such as `tool.okibi.functions.visits`.
        values: the content.
        mistakes: the sentences of all tables of the file.
    """

    name: str
    values: Mapping[str, object]
    mistakes: list[str]
    _read: dict[str, None] = attrs.field(init=False, factory=dict[str, None])

    def text(
        self, key: str, default: str = "", *, pattern: str = ".+", expected: str = "a text"
    ) -> str:
        """Read a text that matches the whole pattern."""
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL):
            return value
        self.refuse(key, expected)
        return default

    def choice(self, key: str, choices: Collection[str], default: str = "") -> str:
        """Read one of some texts; upper and lower case are the same."""
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, str):
            for each in choices:
                if each.lower() == value.lower():
                    return each
        close = get_close_matches(str(value), choices, 1)
        advice = f"; did you mean {close[0]!r}?" if close else ""
        self.refuse(key, " or ".join(repr(each) for each in choices) + advice)
        return default

    def integer(self, key: str, default: int, low: int, high: int, unit: str = "") -> int:
        """Read an integer from `low` to `high`."""
        value = self._get(key)
        if value is None:
            return default
        # In Python, a bool is an int.
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.refuse(key, f"an integer from {low} to {high}{unit and f' ({unit})'}")
        return default

    def flag(self, key: str, default: bool = False) -> bool:
        """Read true or false."""
        value = self._get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.refuse(key, "true or false")
        return default

    def texts(
        self, key: str, *, pattern: str = ".+", expected: str = "a list of texts"
    ) -> tuple[str, ...]:
        """Read a list of texts that match the pattern; a single text is a list of one."""
        value = self._get(key)
        if value is None:
            return ()
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        good = [each for each in items if isinstance(each, str) and re.fullmatch(pattern, each)]
        if not items or len(good) < len(items):
            wrong = [each for each in items if each not in good]
            self.refuse(key, expected, wrong if good else None)
        return tuple(good)

    def switch(self, key: str) -> "TomlTable | None":
        """Read a table that `true` leaves at its defaults; None if missing or `false`."""
        value = self._get(key)
        if value is None or value is False:
            return None
        if value is True:
            return TomlTable(f"{self.name}.{key}", {}, self.mistakes)
        return self._table(key, "a table, or true")

    def table(self, key: str) -> "TomlTable | None":
        """Read a table; None if missing."""
        return None if self._get(key) is None else self._table(key, "a table")

    def tables(self, key: str) -> "list[TomlTable]":
        """Read an array of tables."""
        value = self._get(key)
        if value is None:
            return []
        items = cast("list[object]", value) if isinstance(value, list) else []
        if not items or not all(isinstance(item, dict) for item in items):
            self.refuse(key, f"tables, written as [[{self.name}.{key}]]")
            return []
        name = f"{self.name}.{key}"
        return [TomlTable(name, cast("dict[str, object]", item), self.mistakes) for item in items]

    def variables(self, key: str) -> dict[str, str]:
        """Read a table of environment variables. A mistake does not quote a value."""
        table = self.table(key)
        if table is None:
            return {}
        for name, value in table.values.items():
            if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]+", name):
                table.add(
                    f"{name}: a variable's name has at least two characters: a letter first, then"
                    " letters, digits and _"
                )
            if not isinstance(value, str):
                table.add(f"{name}: must be a text; write it in quotes")
        return {name: value for name, value in table.values.items() if isinstance(value, str)}

    def is_text(self, key: str) -> bool:
        """Whether a key has a text as its value."""
        return isinstance(self.values.get(key), str)

    def refuse(self, key: str, expected: str, wrong: object = None) -> None:
        """Add a mistake: a key that should have another value; `wrong` is the part that is."""
        value = self.values.get(key) if wrong is None else wrong
        self.add(f"{key} = {_as_toml(value)}: must be {expected}")

    def add(self, sentence: str) -> None:
        """Add a mistake of this table."""
        self.mistakes.append(f"[{self.name}] {sentence}")

    def refuse_unknown(self) -> None:
        """Add a mistake for each key that no method has read."""
        for key in self.values:
            if key not in self._read:
                close = get_close_matches(key, self._read, 1)
                advice = (
                    f"did you mean {close[0]!r}?" if close else f"known: {', '.join(self._read)}"
                )
                self.add(f"unknown key {key!r}; {advice}")

    def _get(self, key: str) -> object | None:
        self._read[key] = None
        return self.values.get(key)

    def _table(self, key: str, expected: str) -> "TomlTable | None":
        value = self.values[key]
        if not isinstance(value, dict):
            self.refuse(key, expected)
            return None
        content = cast("dict[str, object]", value)
        return TomlTable(f"{self.name}.{key}", content, self.mistakes)


def _as_toml(value: object) -> str:
    """Write a value as in the file, without its content if that is a table."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{...}"
    return repr(value)
