"""Give `re` the programs of the patterns that a start compiles, from the start image.

`re` parses a pattern and writes a program for its matcher, in Python: 8 % of `import boto3`. The
image has the programs. The same pattern and flags give the same program; every other pattern is
compiled as usual. The matcher checks each program before it takes one.

The cache owns one private name, `re._compiler.compile`. A Python that compiles elsewhere does not
look at the name, and compiles.
"""

import sys
from collections.abc import Callable, MutableMapping
from typing import Any

COMPILER_MODULE = "re._compiler"
Program = tuple[int, int, dict[str, int], tuple[str | None, ...], bytes]
"""The flags, the number of groups, the groups by name, the names by group, the program's words."""


class PatternCache:
    """The programs of patterns.

    Args:
        version: the matcher's MAGIC and CODESIZE for which the programs were compiled.
        programs: the programs by pattern and flags. The cache removes what it has given out.
    """

    def __init__(
        self,
        version: tuple[int, int],
        programs: MutableMapping[tuple[str | bytes, int], Program],
    ) -> None:
        self._version = version
        self._programs = programs
        self._compile = self.compile
        self._plain: Callable[..., Any] | None = None
        self._accept: Callable[..., Any] | None = None
        self.hits = 0

    def attach(self) -> None:
        """Answer the calls of `re`'s compiler, if the programs are for this Python's matcher."""
        import re as re

        compiler: Any = sys.modules.get(COMPILER_MODULE)
        matcher: Any = getattr(compiler, "_sre", None)
        if (getattr(matcher, "MAGIC", 0), getattr(matcher, "CODESIZE", 0)) != self._version:
            self._programs.clear()
            return
        self._accept = matcher.compile
        self._plain, compiler.compile = compiler.compile, self._compile

    def detach(self) -> None:
        """Give `re` its own compiler again, and drop the programs."""
        self._programs.clear()
        compiler: Any = sys.modules.get(COMPILER_MODULE)
        if self._plain is not None and compiler.compile is self._compile:
            compiler.compile = self._plain

    def compile(self, pattern: Any, flags: int = 0) -> Any:
        """Return the compiled pattern, by its program or by `re`'s own compiler."""
        assert self._plain is not None
        assert self._accept is not None
        # A parsed pattern is neither, and has no hash.
        known = type(pattern) is str or type(pattern) is bytes
        program = self._programs.pop((pattern, flags), None) if known else None
        if program is None:
            return self._plain(pattern, flags)
        self.hits += 1
        all_flags, groups, names, indexes, words = program
        return self._accept(
            pattern, all_flags, memoryview(words).cast("I").tolist(), groups, names, indexes
        )
