"""Mutants of a module: each is the same source with one small mistake.

The name of a mutant has the function, the original code and the changed code. Names therefore stay
valid when other parts of the file change. Docstrings, annotations and imports are not mutated, nor
are texts with a space: tests should not hold the wording of an error or a log line.
"""

import ast
from collections import Counter
from collections.abc import Iterator

import attrs

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
CALLS = {"any": "all", "all": "any", "min": "max", "max": "min", "reversed": "list"}


@attrs.frozen
class Mutant:
    """A module with one mistake.

    Attributes:
        where: the function or class with the mistake.
        before: the original code.
        after: the changed code.
        tree: the module without the mistake.
        place: the place of the mistake in the module.
        changed: the node with the mistake; None for `pass`.
    """

    where: str
    before: str
    after: str
    tree: ast.Module = attrs.field(repr=False)
    place: "Place" = attrs.field(repr=False)
    changed: ast.AST | None = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"{self.where}: {self.before} -> {self.after}"

    @property
    def source(self) -> str:
        """The source of the whole module."""
        return copy_with(self.tree, self.place, self.changed)


def mutants(source: str) -> Iterator[Mutant]:
    """Yield all mutants in the order of the source. Sources and names are unique."""
    tree = ast.parse(source)
    seen: set[tuple[ast.AST, str]] = set()
    names: Counter[str] = Counter()
    for place in _find_places(tree, "", tree):
        for changed in _changes(place.node):
            # The text of one function is enough to compare two mutants.
            text = copy_with(place.scope, place, changed)
            if (place.scope, text) in seen:
                continue
            seen.add((place.scope, text))
            where = place.where
            before, after = _describe_change(place.node, changed)
            names[f"{where}{before}{after}"] += 1
            times = names[f"{where}{before}{after}"]
            after = after if times == 1 else f"{after} ({times})"
            yield Mutant(where, before, after, tree, place, changed)


def _describe_change(node: ast.AST, changed: ast.AST | None) -> tuple[str, str]:
    """Return the shortest code before and after that shows the change."""
    match node, changed:
        case ast.Dict(keys, values), ast.Dict(kept):
            removed_at = next(at for at, key in enumerate(keys) if key not in kept)
            return f"{_text(keys[removed_at])}: {_text(values[removed_at])}", "nothing"
        case ast.If(), ast.If():
            return f"if {_text(node.test)}", f"if {_text(changed.test)}"
        case ast.Call(keywords=keywords), ast.Call(keywords=kept) if len(kept) < len(keywords):
            removed = next(keyword for keyword in keywords if keyword not in kept)
            return _text(removed), "nothing"
        case _:
            return _text(node), _text(changed)


def _text(node: ast.AST | None) -> str:
    return "nothing" if node is None else " ".join(ast.unparse(node).split())


@attrs.frozen
class Place:
    """A node to mutate: its function, and its place in the parent node.

    Attributes:
        where: the qualified name of the function or class.
        scope: the smallest function, or statement of a class or module, that contains the node.
        parent, field, index: the attribute of the parent that holds the node; None for no list.
        node: the node.
    """

    where: str
    scope: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST


def copy_with(whole: ast.AST, place: Place, changed: ast.AST | None) -> str:
    """Return the source of `whole` with one node replaced, by `pass` if `changed` is None."""
    old = getattr(place.parent, place.field)
    new = changed if changed is not None else ast.Pass()
    if place.index is None:
        setattr(place.parent, place.field, new)
    else:
        setattr(place.parent, place.field, [*old[: place.index], new, *old[place.index + 1 :]])
    text = ast.unparse(ast.fix_missing_locations(whole if place.node is not whole else new))
    setattr(place.parent, place.field, old)
    return text


def _find_places(node: ast.AST, where: str, scope: ast.AST) -> Iterator[Place]:
    """Yield every node to mutate."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}".lstrip(".")
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            inner = child if isinstance(node, ast.Module | ast.ClassDef) else scope
            yield Place(where or "module", inner, node, field, index, child)
            yield from _find_places(child, where, inner)


def _changes(node: ast.AST) -> Iterator[ast.AST | None]:
    match node:
        case ast.Compare(left, [op], right):
            for other in COMPARISONS[type(op)]:
                yield ast.Compare(left, [other()], right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            yield from values
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
            yield ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(str() as value) if " " not in value:
            yield ast.Constant(f"{value}x")
        case ast.Call(ast.Name(name), [_, *_] as given) if name in CALLS:
            yield ast.Call(ast.Name(CALLS[name]), given, [])
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.If(ast.Name("TYPE_CHECKING")):
            pass  # only a type checker reads the body
        case ast.If(_, body, orelse):
            yield ast.If(ast.Constant(True), body, orelse)
            yield ast.If(ast.Constant(False), body, orelse or [ast.Pass()])
        case _:
            yield from _more_changes(node)


def _more_changes(node: ast.AST) -> Iterator[ast.AST | None]:
    match node:
        case ast.Tuple(elements) | ast.Set(elements):
            for at in range(len(elements)):
                yield type(node)([*elements[:at], *elements[at + 1 :]])
            if isinstance(node, ast.Tuple) and len(elements) > 1:
                yield ast.Tuple([*reversed(elements)])
        case ast.Dict(keys, values):
            for at in range(len(keys)):
                yield ast.Dict([*keys[:at], *keys[at + 1 :]], [*values[:at], *values[at + 1 :]])
        case ast.Attribute(ast.Name("ChildState" | "Restart" | "Strategy" | "AutoShutdown"), name):
            other = _OTHER_MEMBERS.get(name)
            if other is not None:
                yield ast.Attribute(node.value, other)
        case ast.Slice(lower, upper):
            if lower is not None:
                yield ast.Slice(None, upper)
            if upper is not None:
                yield ast.Slice(lower, None)
        case ast.comprehension(target, source, [_, *_]):
            yield ast.comprehension(target, source, [], 0)
        case ast.Return(ast.expr()):
            yield ast.Return(None)
        case ast.Call(function, given, keywords) if keywords:
            for at in range(len(keywords)):
                yield ast.Call(function, given, [*keywords[:at], *keywords[at + 1 :]])
        case ast.Assign() | ast.AugAssign() | ast.Expr() | ast.Raise():
            yield None
        case _:
            pass


_OTHER_MEMBERS = {
    "UNDEFINED": "RESTARTING",
    "STARTING": "RUNNING",
    "RUNNING": "STOPPING",
    "STOPPING": "STARTING",
    "RESTARTING": "UNDEFINED",
    "FORGOTTEN": "UNDEFINED",
    "PERMANENT": "TRANSIENT",
    "TRANSIENT": "TEMPORARY",
    "TEMPORARY": "PERMANENT",
    "ONE_FOR_ONE": "REST_FOR_ONE",
    "REST_FOR_ONE": "ONE_FOR_ALL",
    "ONE_FOR_ALL": "ONE_FOR_ONE",
    "NEVER": "ANY_SIGNIFICANT",
    "ANY_SIGNIFICANT": "ALL_SIGNIFICANT",
    "ALL_SIGNIFICANT": "ANY_SIGNIFICANT",
}
