"""Run inside a function's process: record what its start imports and compiles.

`python -P recorder.py OUT ENTRY PLACEHOLDER NUMBER` starts okibi as the script ENTRY does, and
appends rows to OUT. Each row is written at once: a process that hangs or is killed loses none.
PLACEHOLDER and NUMBER go into the values of variables that are not set.

Imports only modules that Python has loaded at start-up. Any other import would be missing in the
recording.
"""

import builtins
import marshal
import posix
import sys
import time
from _frozen_importlib import ModuleSpec
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

LOAD = "_load_unlocked"
ATTRS_MODULE = "attr._make"
COMPILER_MODULE = "re._compiler"
# The flag with which `re` prints a program.
DEBUG = 128
# Functions that change a module once it is imported. Arguments: the file OUT, the module.
RECORDERS: "dict[str, Any]" = {}
# The `from __future__` flags of a code object. `compile` takes those of its caller.
FUTURE_FLAGS = 0x1FE0000


def main() -> None:
    """Record, and start okibi in this module's place."""
    out, entry, placeholder, number = sys.argv[1:]
    file = posix.open(out, posix.O_WRONLY | posix.O_APPEND | posix.O_CLOEXEC)
    folder = __file__.rpartition("/")[0]
    sys.path.insert(0, folder)
    recipes = __import__("recipe_recorder")
    sys.path.remove(folder)
    del sys.modules["recipe_recorder"]
    write(file, "python", sys.platform, *sys.version_info[:2])
    record_imports(file)
    record_attrs(file, recipes)

    def change_os(_: int, os: "Any") -> None:
        add_placeholders(file, os, placeholder, int(number))

    RECORDERS.update(
        {
            "os": change_os,
            "collections": record_namedtuples,
            "typing": record_annotations,
            COMPILER_MODULE: record_patterns,
        }
    )
    for name, change in RECORDERS.items():
        if name in sys.modules:
            change(file, sys.modules[name])
    sys.argv = [entry]
    with open(entry, "rb") as opened:
        code = compile(opened.read(), entry, "exec")
    sys.modules["__main__"].__file__ = entry
    exec(code, vars(sys.modules["__main__"]))


def write(file: int, *row: "Any") -> None:
    """Append a row. Format 2 of `marshal` is the same in every Python."""
    posix.write(file, marshal.dumps(row, 2))


def record_imports(file: int) -> None:
    """Write each module that is loaded, with its seconds; nested imports are subtracted.

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
        change = RECORDERS.get(spec.name)
        if change is not None:
            change(file, module)
        return module

    setattr(importlib, LOAD, load_and_record)


def add_placeholders(file: int, os: "Any", beginning: str, number: int) -> None:
    """Let `os.environ[NAME]` return a placeholder if the variable is not set, and write its name.

    A program that subscripts `os.environ` needs the variable. `get`, `in`, `pop` and iteration
    find only variables that are set.

    Args:
        file: the descriptor of the file to write the name to.
        os: the module.
        beginning: the first word of each placeholder.
        number: the end of each placeholder.
    """

    class Placeholder(str):
        """A name for Python, DNS and AWS: letters and digits. As a number, `number`."""

        __slots__ = ()

        def __int__(self) -> int:
            return number

        def __float__(self) -> float:
            return float(number)

    plain = os.environ.__class__

    def get_or_make(self: "Any", name: str) -> "Any":
        try:
            return plain.__getitem__(self, name)
        except KeyError:
            write(file, "unset", str(name))
            letters = "".join(filter(str.isalnum, name)).lower()
            return Placeholder(f"{beginning}{letters}{number}")

    def contains(self: "Any", name: object) -> bool:
        return name in iter(self)

    def get(self: "Any", name: str, default: "Any" = None) -> "Any":
        return plain.__getitem__(self, name) if name in self else default

    def pop(self: "Any", name: str, *default: "Any") -> "Any":
        return default[0] if default and name not in self else plain.pop(self, name, *default)

    methods = {"__getitem__": get_or_make, "__contains__": contains, "get": get, "pop": pop}
    os.environ.__class__ = type("Variables", (plain,), methods)


def record_attrs(file: int, recipes: "Any") -> None:
    """Write the texts that attrs compiles for its own classes, and the recipes of other classes.

    Args:
        file: the descriptor of the file to write to.
        recipes: the module `recipe_recorder`.
    """
    compile_plainly = builtins.compile
    # What a text of another class is for, once the module of attrs is imported.
    notes: list[Any] = []

    def compile_and_record(
        source: "Any", filename: "Any", mode: str = "exec", flags: int = 0,
        dont_inherit: bool = False, *more: "Any", **options: "Any",
    ) -> "Any":  # fmt: skip
        caller = sys._getframe(1)
        if not dont_inherit:
            flags |= caller.f_code.co_flags & FUTURE_FLAGS
        if caller.f_globals.get("__name__") == ATTRS_MODULE and type(source) is str:
            if notes:
                notes[0](source, filename, flags)
            elif text := recipes.write_salt_as_call(source, filename):
                write(file, "attrs", text, filename, flags)
        return compile_plainly(source, filename, mode, flags, True, *more, **options)

    def record_classes(_: int, make: "Any") -> None:
        notes.append(recipes.record_classes(make, file, write))

    builtins.compile = compile_and_record
    RECORDERS[ATTRS_MODULE] = record_classes


def record_namedtuples(file: int, collections: "Any") -> None:
    """Write each text that `namedtuple` evaluates."""

    def evaluate_and_record(source: "Any", namespace: "Any") -> "Any":
        if type(source) is str:
            write(file, "expression", source)
        return eval(source, namespace)

    collections.eval = evaluate_and_record


def record_annotations(file: int, typing: "Any") -> None:
    """Write each annotation that `typing` compiles."""

    def compile_and_record(source: "Any", filename: "Any", mode: str) -> "Any":
        code = compile(source, filename, mode)
        if type(source) is str:
            write(file, "expression", source)
        return code

    typing.compile = compile_and_record


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
