"""Find imports that a module needs only inside functions, by its source.

Such an import can move into the function. The search is simple and careful: it names a package only
if each import of the package in all files is a plain statement at the top level of a module, and if
no code that runs at import uses its name.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping

import attrs

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Import = ast.Import | ast.ImportFrom


@attrs.frozen
class LazyImport:
    """An import statement that could move into the functions that use it.

    Args:
        package: the top-level package that the statement imports.
        file: the file.
        line: the line.
        statement: the source of the statement.
    """

    package: str
    file: str
    line: int
    statement: str


def find_lazy_imports(sources: Mapping[str, str]) -> list[LazyImport]:
    """Find the imports of packages that no code uses at import.

    Args:
        sources: the source of each file of the user's.
    """
    found: list[LazyImport] = []
    needed: set[str] = set()
    for file, source in sources.items():
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue
        lazy, eager = _sort_imports(tree)
        needed |= eager
        found += [
            LazyImport(package, file, statement.lineno, ast.unparse(statement))
            for package, statement in lazy
        ]
    return [each for each in found if each.package not in needed]


def _sort_imports(tree: ast.Module) -> tuple[list[tuple[str, Import]], set[str]]:
    """Return the imports of a module that could be lazy, and the packages that it needs at once."""
    at_import, inside = _names_used(tree)
    lazy: list[tuple[str, Import]] = []
    eager: set[str] = set()
    for statement in _imports(tree.body):
        packages, names = _packages(statement), _bound_names(statement)
        late = bool(names) and not names & at_import and bool(names & inside)
        if statement in tree.body and late and len(packages) == 1:
            lazy += [(package, statement) for package in packages]
        else:
            eager |= packages
    return lazy, eager


def _imports(body: Iterable[ast.stmt]) -> Iterator[Import]:
    """Yield the imports that run when the module is imported."""
    for node in _run_at_import(body):
        if isinstance(node, Import):
            yield node


def _run_at_import(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield all nodes but those in bodies of functions and under `if TYPE_CHECKING`."""
    for node in nodes:
        yield node
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            yield from _run_at_import(defaults)
            if not isinstance(node, ast.Lambda):
                yield from _run_at_import(node.decorator_list)
                yield from _run_at_import(_annotations(node))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _run_at_import(node.orelse)
        else:
            yield from _run_at_import(ast.iter_child_nodes(node))


def _annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    # Python evaluates them, unless `from __future__ import annotations` or Python 3.14 puts it off.
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield node.annotation
    if function.returns is not None:
        yield function.returns


def _names_used(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Return the names that code uses at import, and all names that functions use.

    A function that is called at import, or is used as a decorator, runs at import.
    """
    definitions = {
        node.name: node for node in tree.body if isinstance(node, (*_FUNCTIONS, ast.ClassDef))
    }
    at_import: set[str] = set()
    run: set[str] = set()
    waiting: list[Iterable[ast.AST]] = [tree.body]
    while waiting:
        for node in _run_at_import(waiting.pop()):
            at_import |= _used(node)
            for name in _called(node):
                if name in definitions and name not in run:
                    run.add(name)
                    waiting.append(_bodies(definitions[name]))
    functions = [node for node in ast.walk(tree) if isinstance(node, (*_FUNCTIONS, ast.Lambda))]
    inside = {
        name
        for function in functions
        for body in _bodies(function)
        for node in ast.walk(body)
        for name in _used(node)
    }
    return at_import, inside


def _used(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return {node.id}
    # `__all__ = ["name"]`, or an annotation as text.
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def _called(node: ast.AST) -> Iterator[str]:
    called = [node.func] if isinstance(node, ast.Call) else []
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        called += node.decorator_list
    for each in called:
        if isinstance(each, ast.Name):
            yield each.id


def _bodies(node: ast.AST) -> list[ast.AST]:
    """Return the code that a call runs: of a function its body, of a class all methods."""
    if isinstance(node, ast.Lambda):
        return [node.body]
    if isinstance(node, _FUNCTIONS):
        return [*node.body]
    methods = [each for each in ast.walk(node) if isinstance(each, _FUNCTIONS)]
    return [statement for method in methods for statement in method.body]


def _packages(statement: Import) -> set[str]:
    if isinstance(statement, ast.Import):
        return {alias.name.partition(".")[0] for alias in statement.names}
    # A relative import is of the user's own package, which is imported already.
    return set() if statement.level else {(statement.module or "").partition(".")[0]}


def _bound_names(statement: Import) -> set[str]:
    """Return the names that an import binds; empty for `import *` and for `__future__`."""
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return set()
    names = {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    return set() if "*" in names else names
