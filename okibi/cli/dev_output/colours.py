"""Colour text on a terminal."""

import os
from collections.abc import Mapping
from enum import Enum
from typing import TextIO

import attrs


class Colour(Enum):
    """A colour or weight; the value is the ANSI code."""

    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"
    BOLD = "1"
    DIM = "2"


@attrs.frozen
class Paint:
    """Colours text, or leaves it as it is.

    Args:
        coloured: whether to colour.

    >>> Paint(False)("ok", Colour.GREEN)
    'ok'
    """

    coloured: bool

    def __call__(self, text: str, *colours: Colour) -> str:
        """Colour a text."""
        if not self.coloured or not colours:
            return text
        return f"\x1b[{';'.join(colour.value for colour in colours)}m{text}\x1b[0m"


def is_coloured(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
