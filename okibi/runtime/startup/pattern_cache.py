"""Put the patterns that a start compiles into the cache of `re`, from the start image.

`re` parses a pattern and writes a program for its matcher, in Python: 8 % of `import boto3`. The
image has the programs. `re` looks into its own cache before it compiles, so a pattern of the image
is found there, and every other pattern is compiled as usual. No function of okibi stands between
the caller and `re`: a warning names the caller's line, and an error has the usual traceback.

This module owns two private names: `re._cache` and `re._compiler._sre`, the matcher. A Python
without them compiles. The matcher checks each program.
"""

import sys
from collections.abc import Mapping
from typing import Any

COMPILER_MODULE = "re._compiler"
# The flags, the number of groups, the groups by name, the names by group, the program's words.
Program = tuple[int, int, dict[str, int], tuple[str | None, ...], bytes]


def add_patterns(
    version: tuple[int, int], programs: Mapping[tuple[str | bytes, int], Program]
) -> None:
    """Put patterns into the cache of `re`.

    Args:
        version: the MAGIC and CODESIZE of the matcher for which the programs were compiled.
            Another matcher gets none.
        programs: the programs by pattern and flags.
    """
    import re as re

    matcher: Any = getattr(sys.modules.get(COMPILER_MODULE), "_sre", None)
    cache: Any = getattr(re, "_cache", None)
    here = (getattr(matcher, "MAGIC", 0), getattr(matcher, "CODESIZE", 0))
    if here != version or type(cache) is not dict:
        return
    for (pattern, flags), (all_flags, groups, names, indexes, words) in programs.items():
        program = memoryview(words).cast("I").tolist()
        try:
            compiled = matcher.compile(pattern, all_flags, program, groups, names, indexes)
        except RuntimeError:
            # The matcher refuses the program. `re` compiles the pattern when it is used.
            continue
        cache[type(pattern), pattern, flags] = compiled
