"""Give `collections.namedtuple` the code that it would compile, from the start image.

`namedtuple` writes the constructor of each class as source text and evaluates the text. The image
has the compiled code. Every other text is evaluated as usual.

The cache owns one private name, `collections.eval`: a global of that module that hides Python's
`eval`. A Python that writes constructors otherwise does not look at the name.
"""

import collections
from collections.abc import MutableMapping
from types import CodeType
from typing import Any

NAMES: dict[str, Any] = collections.__dict__


class NamedtupleCache:
    """The code of constructors.

    Args:
        codes: the code by text. The cache removes what it has given out.
    """

    def __init__(self, codes: MutableMapping[str, CodeType]) -> None:
        self._codes = codes
        self._eval = self.eval
        self.hits = 0

    def attach(self) -> None:
        """Answer the calls of `eval` in `collections`."""
        NAMES["eval"] = self._eval

    def detach(self) -> None:
        """Give `collections` Python's `eval` again, and drop the code."""
        self._codes.clear()
        if NAMES.get("eval") is self._eval:
            del NAMES["eval"]

    def eval(self, source: Any, namespace: dict[str, Any]) -> Any:
        """Evaluate a text, by its code from the cache or by Python's `eval`."""
        code = self._codes.pop(source, None) if type(source) is str else None
        if code is None:
            return eval(source, namespace)
        self.hits += 1
        return eval(code, namespace)
