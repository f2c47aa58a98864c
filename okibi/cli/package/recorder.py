"""Run inside a function's process: write down what its start imports and what is compiled.

`python -P recorder.py OUT lib/okibi_start.py` starts okibi as the second file does. Each row is
appended to OUT at once, so a process that hangs or is killed loses none. This file imports only
modules that every Python has imported when it starts: what it imported itself would be recorded.
"""

import builtins
import marshal
import posix
import sys
import time
from _frozen_importlib import ModuleSpec
from _thread import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

LOAD = "_load_unlocked"
ATTRS_MODULE = "attr._make"
COMPILER_MODULE = "re._compiler"
DEBUG = 128
"""The flag with which `re` prints a program."""
RECORDERS: "dict[str, Any]" = {}
"""What to do with a module once it is imported."""
FUTURE_FLAGS = 0x1FE0000
"""The `from __future__` flags of a code object. `compile` takes those of its caller."""


def main() -> None:
    """Record, and start okibi in this module's place."""
    out, entry = sys.argv[1:]
    file = posix.open(out, posix.O_WRONLY | posix.O_APPEND | posix.O_CLOEXEC)
    record_imports(file)
    record_attrs(file)
    RECORDERS.update({"collections": record_namedtuples, COMPILER_MODULE: record_patterns})
    for name, record in RECORDERS.items():
        if name in sys.modules:
            record(file, sys.modules[name])
    sys.argv = [entry]
    with open(entry, "rb") as opened:
        code = compile(opened.read(), entry, "exec")
    sys.modules["__main__"].__file__ = entry
    exec(code, vars(sys.modules["__main__"]))


def write(file: int, *row: "Any") -> None:
    """Append a row. Format 2 of `marshal` is the same in every Python."""
    posix.write(file, marshal.dumps(row, 2))


def record_imports(file: int) -> None:
    """Write each module that is loaded, with the seconds that it took without its own imports.

    Each import passes through the private function LOAD of importlib.
    """
    import _frozen_importlib as importlib

    load = getattr(importlib, LOAD, None)
    if load is None:
        return
    inner: dict[int, list[float]] = {}
    clock = time.perf_counter

    def load_and_record(spec: ModuleSpec) -> "ModuleType":
        stack = inner.setdefault(get_ident(), [0.0])
        stack.append(0.0)
        begun = clock()
        try:
            module: ModuleType = load(spec)
        finally:
            taken = clock() - begun
            own = taken - stack.pop()
            stack[-1] += taken
        is_package = spec.submodule_search_locations is not None
        loader = type(spec.loader).__name__
        write(file, "module", spec.name, spec.origin or "", is_package, loader, own)
        record = RECORDERS.get(spec.name)
        if record is not None:
            record(file, module)
        return module

    setattr(importlib, LOAD, load_and_record)


def record_attrs(file: int) -> None:
    """Write each text that attrs compiles, with its file name and flags."""
    compile_plainly = builtins.compile

    def compile_and_record(
        source: "Any", filename: "Any", mode: str = "exec", flags: int = 0,
        dont_inherit: bool = False, *more: "Any", **options: "Any",
    ) -> "Any":  # fmt: skip
        caller = sys._getframe(1)
        if not dont_inherit:
            flags |= caller.f_code.co_flags & FUTURE_FLAGS
        if caller.f_globals.get("__name__") == ATTRS_MODULE and type(source) is str:
            write(file, "attrs", source, filename, flags)
        return compile_plainly(source, filename, mode, flags, True, *more, **options)

    builtins.compile = compile_and_record


def record_namedtuples(file: int, collections: "Any") -> None:
    """Write each text that `namedtuple` evaluates."""

    def evaluate_and_record(source: "Any", namespace: "Any") -> "Any":
        if type(source) is str:
            write(file, "namedtuple", source)
        return eval(source, namespace)

    collections.eval = evaluate_and_record


def record_patterns(file: int, compiler: "Any") -> None:
    """Write each pattern that `re` compiles, with its flags."""
    compile_plainly = compiler.compile

    def compile_and_record(pattern: "Any", flags: int = 0) -> "Any":
        if type(pattern) in (str, bytes) and not int(flags) & DEBUG:
            write(file, "pattern", pattern, int(flags))
        return compile_plainly(pattern, flags)

    compiler.compile = compile_and_record


if __name__ == "__main__":
    main()
