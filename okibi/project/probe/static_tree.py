"""The supervision tree of a function that does not run: the specs from which a start builds it."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeGuard, cast

import attrs

from ...actors.start import factory_name
from ...runtime.deadlines.interrupt import DeadlineInterrupt
from ...runtime.handlers.function import Function
from ...runtime.in_flight.lane import Lane
from ...runtime.in_flight.ledger import Ledger
from ...runtime.serving.extension import ExtensionConnection
from ...runtime.settings import read_settings
from ...runtime.tree import ServedFunction, build_tree
from ...supervisors import (
    INFINITY,
    AnySupervisorSpec,
    Applications,
    Backoff,
    Child,
    DynamicSupervisorSpec,
    PartitionSupervisorSpec,
    SupervisorSpec,
    TaskSupervisorSpec,
)
from ...supervisors.application import Application, start_order

# The path of the root supervisor (`runtime.bootstrap`).
ROOT = "/function"


@attrs.frozen
class TreeNode:
    """One actor of a function's tree, as its spec says.

    Attributes:
        path: the path of the actor.
        kind: supervisor or worker.
        actor: the class of the actor, or of the supervisor.
        name: the key of the registered name; empty for none.
        restart: permanent, transient or temporary; empty for the root.
        shutdown: seconds to stop in, `infinity` or `brutal_kill`; empty for the root.
        strategy: a supervisor's strategy: one_for_one, one_for_all or rest_for_one; `dynamic` if
            children start while it runs; empty for a worker.
        intensity, period: the restarts that a supervisor allows within seconds; None for no limit
            of its own.
        backoff: the delays before restarts; None for none.
        children: a supervisor's children, in start order.
    """

    path: str
    kind: Literal["supervisor", "worker"]
    actor: str
    name: str = ""
    restart: str = ""
    shutdown: str = ""
    strategy: str = ""
    intensity: int | None = None
    period: float | None = None
    backoff: Backoff | None = None
    children: "Sequence[TreeNode]" = ()

    @property
    def id(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


def build_function_tree(function: Function, environment: Mapping[str, str]) -> SupervisorSpec:
    """Build the tree that a start builds, and start nothing.

    Args:
        function: the function.
        environment: the variables of its sandbox.

    Raises:
        TypeError: msgspec does not support the event type of the handler.
    """
    settings = read_settings(environment, ())
    host = settings.api.encode()
    lanes = [Lane(n, host, settings.pipelined, settings.margin) for n in range(settings.lanes)]
    ledger = Ledger(lanes, _never_called, cast("Any", None))
    served = ServedFunction(function, settings, ledger, DeadlineInterrupt())
    extension = ExtensionConnection(host) if settings.register_extension else None
    return build_tree(served, _never_called, extension)


def _never_called(*_: object) -> Any:
    raise AssertionError("a tree that is not started calls nothing")


def find_nodes(spec: SupervisorSpec) -> TreeNode:
    """Describe a tree and all actors in it."""
    return _describe_supervisor(TreeNode(ROOT, "supervisor", "Supervisor"), spec)


def walk(spec: "AnySupervisorSpec[Any]", path: str = ROOT) -> Iterator[tuple[str, Child[Any]]]:
    """Yield each child below a supervisor, with its path, a supervisor before its children."""
    for child in _parts(spec):
        below = f"{path}/{child.id}"
        yield below, child
        if is_supervisor_spec(child.start):
            yield from walk(child.start, below)


def is_supervisor_spec(start: object) -> "TypeGuard[AnySupervisorSpec[Any]]":
    """Whether a child starts as a supervisor."""
    return isinstance(start, AnySupervisorSpec)


@attrs.frozen
class _Master(AnySupervisorSpec[Any]):
    """Stands for the actor above the tree of an application."""

    application: Application


def _parts(spec: "AnySupervisorSpec[Any]") -> Sequence[Child[Any]]:
    match spec:
        case SupervisorSpec():
            return spec.children
        case PartitionSupervisorSpec():
            return spec.supervision.children
        case Applications():
            order = start_order(spec.applications)
            return [Child(_Master(each), id=each.name) for each in order]
        case _Master():
            return [Child(spec.application.tree)]
        case _:
            return ()


def _describe_child(path: str, child: Child[Any]) -> TreeNode:
    start = child.start
    node = TreeNode(
        path,
        "worker",
        "" if is_supervisor_spec(start) else find_class_name(start),
        "" if child.name is None else str(child.name.key),
        child.restart.value,
        "infinity" if child.shutdown == float("inf") else str(child.shutdown),
    )
    return _describe_supervisor(node, start) if is_supervisor_spec(start) else node


def _describe_supervisor(node: TreeNode, spec: "AnySupervisorSpec[Any]") -> TreeNode:
    children = tuple(_describe_child(f"{node.path}/{part.id}", part) for part in _parts(spec))
    node = attrs.evolve(node, kind="supervisor", children=children)
    if isinstance(spec, SupervisorSpec | PartitionSupervisorSpec | DynamicSupervisorSpec):
        if spec.intensity != INFINITY:
            node = attrs.evolve(node, intensity=int(spec.intensity), period=spec.period)
        node = attrs.evolve(node, backoff=spec.backoff)
    match spec:
        case SupervisorSpec() | PartitionSupervisorSpec():
            return attrs.evolve(
                node,
                actor=type(spec).__name__.removesuffix("Spec"),
                strategy=spec.strategy.value,
            )
        case DynamicSupervisorSpec():
            return attrs.evolve(node, actor="DynamicSupervisor", strategy="dynamic")
        case TaskSupervisorSpec():
            return attrs.evolve(node, actor="TaskSupervisor", strategy="dynamic")
        case Applications():
            return attrs.evolve(node, actor="ApplicationController")
        case _Master():
            return attrs.evolve(
                node, actor="ApplicationMaster", restart=spec.application.kind.value
            )
        case _:
            return attrs.evolve(node, actor=type(spec).__name__.removesuffix("Spec"))


def find_class_name(factory: Any) -> str:
    """Return the name of the class that a factory makes, by its annotation if it is a function.

    >>> from functools import partial
    >>> def make() -> "Worker": ...
    >>> find_class_name(partial(make))
    'Worker'
    """
    inner: Any = getattr(factory, "func", factory)
    if not isinstance(inner, type):
        returned: object = getattr(inner, "__annotations__", {}).get("return")
        if isinstance(returned, str):
            return returned
        if inspect.isclass(returned):
            return returned.__name__
    return factory_name(factory)
