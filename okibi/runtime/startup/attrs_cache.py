"""Give attrs the code that it would compile, from the start image.

attrs writes the methods of each class as source text and compiles the text: some 100 texts per
start. The image has the compiled code. The same text and file name give the same code; every other
text is compiled as usual. The salt that attrs writes into `__hash__` is not in the image: each
process has its own.

The cache owns one private name, `attr._make.compile`: a global of that module that hides Python's
`compile`. A release of attrs that compiles elsewhere does not look at the name, and compiles.
"""

import sys
from collections.abc import Callable, MutableMapping
from importlib.util import source_hash
from types import CodeType
from typing import Any

ATTRS_MODULE = "attr._make"
# The `from __future__` flags of a code object. `compile` takes those of its caller.
FUTURE_FLAGS = 0x1FE0000
SALT_BEGINS = "hash((\n"
# Stands for the salt of a class in the image. A hash of Python has at most 64 bits.
SALT_MARK = 1 << 64


def mark_salt(source: str) -> tuple[str, int | None]:
    """Replace the salt in a text of attrs by SALT_MARK.

    attrs writes the hash of a string into each `__hash__`. The hash of a string differs from
    process to process, so nobody can choose values that collide.

    Args:
        source: the text of a class's methods.

    Returns:
        The text, which is the same in each process, and the salt; None for a text without one.
    """
    before, begins, rest = source.partition(SALT_BEGINS)
    salt, comma, after = rest.partition(",")
    if not salt.strip().lstrip("-").isdigit():
        return source, None
    return f"{before}{begins}{SALT_MARK}{comma}{after}", int(salt)


def with_salt(code: CodeType, salt: int) -> CodeType:
    """Return the code of a marked text with the salt of this process in `__hash__`."""
    consts = [
        with_salt(each, salt)
        if each.__class__ is CodeType and each.co_name == "__hash__"
        else salt
        if each == SALT_MARK
        else each
        for each in code.co_consts
    ]
    return code.replace(co_consts=tuple(consts))


class CompileCache:
    """The code of texts that attrs writes.

    Args:
        codes: the code of marked texts, by the hash of the text and the file name. The cache
            removes code that attrs has received.
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
            text, salt = mark_salt(source)
            code = self._codes.pop((source_hash(text.encode()), filename), None)
            if code is not None:
                self.hits += 1
                return code if salt is None else with_salt(code, salt)
            self.misses += 1
            # As a call without this function between would be.
            flags = sys._getframe(1).f_code.co_flags & FUTURE_FLAGS
            return compile(source, filename, mode, flags, True)
        compile_plainly: Callable[..., Any] = compile
        return compile_plainly(source, filename, mode, *more, **options)
