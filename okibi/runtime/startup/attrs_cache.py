"""Give attrs the code that it would compile, from the start image.

attrs writes the methods of each class as source text and compiles the text: some 100 texts per
start. The image has the compiled code. The same text and file name give the same code; every other
text is compiled as usual.

The cache owns one private name, `attr._make.compile`: a global of that module that hides Python's
`compile`. A release of attrs that compiles elsewhere does not look at the name, and compiles.
"""

import sys
from collections.abc import Callable, MutableMapping
from importlib.util import source_hash
from types import CodeType
from typing import Any

ATTRS_MODULE = "attr._make"
FUTURE_FLAGS = 0x1FE0000
"""The `from __future__` flags of a code object. `compile` takes those of its caller."""
SALT = "hash((\n"


def stable_text(source: str) -> str:
    """Cut a number out of a text that attrs wrote.

    attrs writes the hash of a text into `__hash__`, and such hashes differ from process to process.

    Args:
        source: the text of a class's methods.

    Returns:
        The text without this number.
    """
    at = source.find(SALT)
    return source if at < 0 else source[:at] + source[source.find(",", at) :]


class CompileCache:
    """The code of texts that attrs writes.

    Args:
        codes: the code, by the hash of a text without that number, and by file name.
            The cache removes what it has given out.
    """

    def __init__(self, codes: MutableMapping[tuple[bytes, str], CodeType]) -> None:
        self._codes = codes
        self._compile = self.compile
        self.hits = self.misses = 0

    def attach(self, namespace: MutableMapping[str, Any]) -> None:
        """Answer the calls of `compile` in a module.

        Args:
            namespace: the module's names, before the module is executed.
        """
        namespace["compile"] = self._compile

    def detach(self) -> None:
        """Give attrs Python's `compile` again, and drop the code."""
        self._codes.clear()
        names = vars(sys.modules.get(ATTRS_MODULE, sys))
        if names.get("compile") is self._compile:
            del names["compile"]

    def compile(
        self, source: Any, filename: Any, mode: str = "exec", *more: Any, **options: Any
    ) -> Any:
        """Return the code of a text, from the cache or from Python's `compile`."""
        if isinstance(source, str) and mode == "exec" and not more and not options:
            key = (source_hash(stable_text(source).encode()), filename)
            code = self._codes.pop(key, None)
            if code is not None:
                self.hits += 1
                return code
            self.misses += 1
            # As a call without this function between would be.
            flags = sys._getframe(1).f_code.co_flags & FUTURE_FLAGS
            return compile(source, filename, mode, flags, True)
        compile_plainly: Callable[..., Any] = compile
        return compile_plainly(source, filename, mode, *more, **options)
