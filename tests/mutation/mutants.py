"""Mutants of a module: each the same source with one small mistake in it.

A mutant is known by the function it is in and what was written for what, so that a list of them
outlives changes elsewhere in the file. Docstrings, annotations and imports are left alone.
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
    """One mistake.

    Attributes:
        where: the function or class it is in.
        before: what was written there.
        after: what is written there now.
        source: the whole module.
    """

    where: str
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.where}: {self.before} -> {self.after}"


def mutants(source: str) -> Iterator[Mutant]:
    """All of them, in the order of the source; no two alike, and no two of one name."""
    tree = ast.parse(source)
    sources: set[str] = set()
    names: Counter[str] = Counter()
    for where, holder, field, index, node in _places(tree, ""):
        for changed in _changes(node):
            text = copy_with(tree, holder, field, index, changed)
            if text in sources:
                continue
            sources.add(text)
            before, after = _told(node, changed)
            names[f"{where}{before}{after}"] += 1
            times = names[f"{where}{before}{after}"]
            yield Mutant(where, before, after if times == 1 else f"{after} ({times})", text)


def _told(node: ast.AST, changed: ast.AST | None) -> tuple[str, str]:
    """What differs, as short as it can be said."""
    match node, changed:
        case ast.Dict(keys, values), ast.Dict(kept):
            gone = next(at for at, key in enumerate(keys) if key not in kept)
            return f"{_text(keys[gone])}: {_text(values[gone])}", "nothing"
        case ast.If(), ast.If():
            return f"if {_text(node.test)}", f"if {_text(changed.test)}"
        case ast.Call(keywords=keywords), ast.Call(keywords=kept) if len(kept) < len(keywords):
            gone_keyword = next(keyword for keyword in keywords if keyword not in kept)
            return _text(gone_keyword), "nothing"
        case _:
            return _text(node), _text(changed)


def _text(node: ast.AST | None) -> str:
    return "nothing" if node is None else " ".join(ast.unparse(node).split())


def copy_with(
    tree: ast.Module, holder: ast.AST, field: str, index: int | None, changed: ast.AST | None
) -> str:
    """The source with another node in one place, or with `pass` there."""
    old = getattr(holder, field)
    new = changed if changed is not None else ast.Pass()
    if index is None:
        setattr(holder, field, new)
    else:
        setattr(holder, field, [*old[:index], new, *old[index + 1 :]])
    text = ast.unparse(ast.fix_missing_locations(tree))
    setattr(holder, field, old)
    return text


Found = tuple[str, ast.AST, str, int | None, ast.AST]


def _places(node: ast.AST, where: str) -> Iterator[Found]:
    """Every node that a mistake may be in, with where it hangs."""
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
            yield where or "module", node, field, index, child
            yield from _places(child, where)


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
        case ast.Constant(str() as value):
            yield ast.Constant(f"{value}x")
        case ast.Call(ast.Name(name), [_, *_] as given) if name in CALLS:
            yield ast.Call(ast.Name(CALLS[name]), given, [])
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
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
            other = _OTHER.get(name)
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


_OTHER = {
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
