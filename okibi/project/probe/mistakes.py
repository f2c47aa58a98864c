"""Mistakes of a function that loads: each would fail the start, or an event much later.

Specs check their own fields when they are made. What needs the whole tree, or the signature of a
factory, is checked here.
"""

import ast
import inspect
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_origin

import attrs

from ...actors import Name
from ...actors.safe_repr import error_text
from ...actors.start import factory_name
from ...runtime.handlers.function import Function
from ...runtime.handlers.handler import event_type, is_async, is_handler
from ...supervisors import AnySupervisorSpec, Child, PartitionedName, SupervisorSpec
from ...supervisors.spec import ActorFactory
from .static_tree import ROOT, walk

USERS = (f"{ROOT}/applications/", f"{ROOT}/children/")
JSON_TYPES = (dict, list, str, int, float, bool, type(None))


@attrs.frozen
class Mistake:
    """A mistake of the user's code.

    Args:
        sentence: the mistake and its cure.
        place: `file:line`; empty if no line is known.
    """

    sentence: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}" if self.place else self.sentence


def find_mistakes(function: Function, tree: SupervisorSpec, folder: str) -> list[Mistake]:
    """Find the mistakes that would fail the start of a function, or each of its events.

    Args:
        function: the function.
        tree: the function's whole tree, made by `build_function_tree`.
        folder: the folder to which files of places are relative.
    """
    children = [*walk(tree)]
    factories = [
        mistake
        for path, child in children
        if path.startswith(USERS)
        for mistake in _factory_mistakes(
            path.removeprefix(f"{ROOT}/").removeprefix("children/"), child, folder
        )
    ]
    return [*_event_mistakes(function, folder), *factories, *_shared_names(children)]


# -- the handler


def _event_mistakes(function: Function, folder: str) -> Iterator[Mistake]:
    """The event type of a Handler class must be one that msgspec decodes."""
    target: Any = function.handler.handler
    if not is_handler(target):
        return
    from ...runtime.codec.typed_json import decoder_for

    try:
        kind = event_type(target)
        decoder_for(kind)
        problem = _describe_undecodable(kind)
    except Exception as error:
        # msgspec refuses the type, or evaluates an annotation that names something unknown.
        problem = error_text(error)
    if problem:
        yield Mistake(
            f"{target.__name__}: no event can be decoded into the type of its Handler[...]:"
            f" {problem}",
            _place_of(target, folder),
        )


def _describe_undecodable(kind: Any) -> str:
    """Return which class in a type no event can be decoded into; empty if there is none."""
    import msgspec.inspect

    try:
        found: list[object] = [] if kind is Any else [msgspec.inspect.type_info(kind)]
    except Exception:
        # The decoder takes the type; only its description fails.
        return ""
    # A loop with a set: a type may contain itself.
    seen = set(map(id, found))
    for each in found:
        if isinstance(each, msgspec.inspect.CustomType):
            plain: Any = get_origin(each.cls) or each.cls
            is_model = hasattr(plain, "model_validate_json")
            if not is_model and not any(issubclass(known, plain) for known in JSON_TYPES):
                return f"{plain.__name__}: use an attrs class, a dataclass, or a TypedDict"
        parts: Sequence[object] = ()
        if isinstance(each, msgspec.Struct):
            parts = msgspec.structs.astuple(each)
        elif isinstance(each, tuple):
            parts = cast("tuple[object, ...]", each)
        new = [part for part in parts if id(part) not in seen]
        seen.update(map(id, new))
        found += new
    return ""


# -- the factories


def _factory_mistakes(path: str, child: Child[Any], folder: str) -> Iterator[Mistake]:
    """A factory takes no arguments, and returns an actor of the name's class."""
    start = child.start
    if isinstance(start, AnySupervisorSpec):
        return
    name, place = factory_name(start), _place_of(start, folder)
    if is_async(start) and not isinstance(start, type):
        yield Mistake(
            f"child {path!r}: {name} is an `async def`, but a supervisor does not await a factory;"
            " write a plain `def`, and await in the actor's `init`",
            place,
        )
        return
    if missing := _missing_arguments(start):
        arguments = ", ".join(f"{each}=..." for each in missing)
        yield Mistake(
            f"child {path!r}: {name} needs {' and '.join(missing)}, but a supervisor gives its"
            f" factory no arguments; write Child(functools.partial({name}, {arguments}))",
            place,
        )
    made: Any = start.func if isinstance(start, partial) else start
    wanted: Any = None if child.name is None else get_origin(child.name.actor) or child.name.actor
    if wanted is not None and isinstance(made, type) and not issubclass(made, wanted):
        assert child.name is not None
        yield Mistake(
            f"child {path!r}: the name {child.name.key!r} is for {wanted.__name__}, but the child"
            f" is a {made.__name__}; give it a Name({str(child.name.key)!r}, {made.__name__})",
            place,
        )


def _missing_arguments(factory: Any) -> list[str]:
    """Return the parameters of a factory that have neither a default nor an argument."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []  # a factory in C
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        each.name
        for each in parameters
        if each.default is inspect.Parameter.empty and each.kind not in kinds
    ]


# -- the names


def _shared_names(children: Iterable[tuple[str, Child[Any]]]) -> Iterator[Mistake]:
    """A name is for one actor. A supervisor's spec compares siblings only."""
    found: dict[Hashable, str] = {}
    for path, child in children:
        if child.name is None:
            continue
        first = found.setdefault(child.name.key, path)
        if first != path:
            yield Mistake(
                f"{first} and {path} have the same name {child.name.key!r}, and the second cannot"
                " start; give one of them another Name"
            )


def find_unused_names(tree: SupervisorSpec, modules: Mapping[str, ModuleType]) -> list[Mistake]:
    """Find names at the top level of the user's modules that no actor will have.

    A name that code inside a function passes as `name=` counts as used: an actor that starts
    later may have it.

    Args:
        tree: the whole tree of the function.
        modules: the user's modules, by the files of their sources.
    """
    registered = {child.name.key for _, child in walk(tree) if child.name is not None}
    sources = {file: _parse(file) for file in modules}
    later = {name for source in sources.values() for name in _names_passed_later(source)}
    found = list[Mistake]()
    for file, module in modules.items():
        for variable, line in _assigned(sources[file]):
            value: object = vars(module).get(variable)
            name = value.name if isinstance(value, PartitionedName | ActorFactory) else value
            if not isinstance(name, Name) or name.key in registered or variable in later:
                continue
            if isinstance(value, ActorFactory):
                sentence = (
                    f"no actor of the tree lends {variable}, so its lend() raises LendError; add"
                    f" Child({variable}) to the Function"
                )
                found.append(Mistake(sentence, f"{file}:{line}"))
                continue
            found.append(
                Mistake(
                    f"no actor of the tree has the name {variable}, so a call to it raises"
                    f" NoProcess; add {_child_with(value, variable)} to the Function",
                    f"{file}:{line}",
                )
            )
    return found


def _child_with(name: Any, variable: str) -> str:
    actor = getattr(name.actor, "__name__", name.actor)
    if isinstance(name, PartitionedName):
        return f"Child(PartitionSupervisorSpec(Child({actor})), name={variable}.name)"
    return f"Child({actor}, name={variable})"


def _parse(file: str) -> ast.Module:
    try:
        return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        # A module in a zip has no file of its own.
        return ast.Module([], [])


def _assigned(source: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the variables that top-level statements assign, each with its line."""
    for statement in source.body:
        targets: Sequence[ast.expr] = ()
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = (statement.target,)
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, statement.lineno


def _names_passed_later(source: ast.Module) -> Iterator[str]:
    """Yield the variables that code inside functions passes as `name=`."""
    for function in ast.walk(source):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                if isinstance(node, ast.keyword) and node.arg == "name":
                    value = node.value
                    if isinstance(value, ast.Name):
                        yield value.id
                    elif isinstance(value, ast.Attribute):
                        yield value.attr


def _place_of(thing: Any, folder: str) -> str:
    """Return where a class or function is defined, as `file:line`; empty if that is not known."""
    inner = inspect.unwrap(thing.func if isinstance(thing, partial) else thing)
    try:
        file, line = inspect.getsourcefile(inner), inspect.getsourcelines(inner)[1]
    except (OSError, TypeError):
        return ""
    return "" if file is None else f"{os.path.relpath(file, folder)}:{line}"
