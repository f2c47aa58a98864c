"""Which code of okibi writes an attribute of a class outside the module of the class.

The sources are read with `ast`, without types: an attribute is found by its name. `self.name` in
another class is not found, because that is an attribute of the other class.
"""

import ast
import inspect
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "okibi"
# Other folders do not see the objects of a running function.
LAYERS = ("actors", "supervisors", "runtime", "testing")
# Methods that change a dictionary, list or deque in place.
CHANGES = {
    "append", "appendleft", "clear", "extend", "insert", "pop", "popitem", "popleft", "setdefault",
    "update",
}  # fmt: skip


def attributes_of(kind: type) -> tuple[str, ...]:
    """Return the names of the attributes of a class with slots, those of its bases included."""
    return tuple(name for each in kind.__mro__ for name in vars(each).get("__slots__", ()))


def foreign_writes(kind: type, others: Collection[str] = ()) -> set[str]:
    """Return each place outside the module of a class that writes an attribute of that name.

    Args:
        kind: the class.
        others: attributes of other objects with such a name, as the code writes them: `sys.path`.

    Returns:
        Texts such as `actors/start.py: process.path`. `self.path` is not among them.
    """
    own = Path(inspect.getfile(kind))
    names = attributes_of(kind)
    return {
        f"{file.relative_to(PACKAGE)}: {ast.unparse(written)}"
        for file, attributes in _all_writes().items()
        if file != own
        for written in attributes
        if written.attr in names and ast.unparse(written) not in (f"self.{written.attr}", *others)
    }


@cache
def _all_writes() -> dict[Path, list[ast.Attribute]]:
    return {
        file: [*_written_attributes(ast.parse(file.read_text("utf-8")))]
        for layer in LAYERS
        for file in (PACKAGE / layer).rglob("*.py")
    }


def _written_attributes(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Yield every attribute that code assigns, deletes, or changes in place."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                yield node
            case ast.Subscript(value=ast.Attribute() as changed, ctx=ast.Store() | ast.Del()):
                yield changed
            case ast.Call(func=ast.Attribute(value=ast.Attribute() as changed, attr=method)):
                if method in CHANGES:
                    yield changed
            case _:
                pass
