"""Give `namedtuple` and `typing` the code that they would compile, from the start image.

`collections.namedtuple` writes the constructor of each class as source text and evaluates the text.
`typing` compiles each annotation that is a text. The image has the compiled code. Every other text
is compiled as usual. The first `compile` of a process takes 8 million instructions more: Python
makes the classes of its syntax trees.

The cache owns two private names, `collections.eval` and `typing.compile`: globals of these modules
that hide Python's functions. A Python that compiles otherwise does not look at the names.
"""

import collections
import typing
from collections.abc import MutableMapping
from types import CodeType
from typing import Any

COLLECTIONS: dict[str, Any] = collections.__dict__
TYPING: dict[str, Any] = typing.__dict__


class ExpressionCache:
    """The code of constructors and annotations.

    Args:
        codes: the code by text.
    """

    def __init__(self, codes: MutableMapping[str, CodeType]) -> None:
        self._codes = codes
        self.hits = 0

    def attach(self) -> None:
        """Answer the calls of `eval` in `collections` and of `compile` in `typing`."""
        COLLECTIONS["eval"], TYPING["compile"] = self.eval, self.compile

    def detach(self) -> None:
        """Give both modules Python's functions again, and drop the code."""
        self._codes.clear()
        if COLLECTIONS.get("eval") == self.eval:
            del COLLECTIONS["eval"]
        if TYPING.get("compile") == self.compile:
            del TYPING["compile"]

    def eval(self, source: Any, namespace: dict[str, Any]) -> Any:
        """Evaluate a text, by its code from the cache or by Python's `eval`."""
        return eval(self._find(source) or source, namespace)

    def compile(self, source: Any, filename: Any, mode: str) -> Any:
        """Return the code of a text, from the cache or by Python's `compile`."""
        return self._find(source) or compile(source, filename, mode)

    def _find(self, source: Any) -> CodeType | None:
        code = self._codes.get(source) if type(source) is str else None
        self.hits += code is not None
        return code
