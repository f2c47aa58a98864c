"""Child specs and supervisor specs: frozen values, validated when they are created.

A tree is data: print it, compare it, test it without running it. An invalid spec raises SpecError
where the spec is written (OTP: `supervisor:check_childspecs/1`).
"""

# Arguments are checked at run time, whatever their annotations promise.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
import math
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, cast

import attrs

from ..actors import Actor, Name
from ..actors.safe_repr import describe_value, shape
from ..actors.start import GRACE, START_TIMEOUT, factory_name
from .any_supervisor_spec import (
    AnySupervisorSpec,
    AutoShutdown,
    build_supervisor,
    check_intensity,
    is_number,
)
from .spec_error import SpecError, wrong_value

if TYPE_CHECKING:
    # A default (PEP 696), so that `sub = Child(SupervisorSpec(...))` needs no annotation.
    from typing_extensions import TypeVar

    from .backoff import Backoff

    A = TypeVar("A", bound=Actor, default=Actor)
else:
    from typing import TypeVar

    A = TypeVar("A", bound=Actor)

BRUTAL_KILL: Final = "brutal_kill"
INFINITY: Final = math.inf


class Restart(enum.Enum):
    """When a child that has ended is restarted (OTP: restart type).

    PERMANENT: always. TRANSIENT: only after a crash or a kill. TEMPORARY: never.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(enum.Enum):
    """The rule for the siblings that restart together with a child (OTP: restart strategy).

    ONE_FOR_ONE: none. REST_FOR_ONE: the siblings that started after the child. ONE_FOR_ALL: all.
    """

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class ActorFactory:
    """Base of values that make an actor and know its name: `Child(DATABASE)` needs no `name`.

    Attributes:
        name: the name under which each incarnation is registered.
    """

    __slots__ = ()

    name: Name[Any]


def _default_name(child: "Child[Any]") -> Name[Any] | None:
    start = child.start
    return start.name if isinstance(start, ActorFactory) else None


def _default_id(child: "Child[Any]") -> str:
    if isinstance(child.name, Name):
        # An id is a part of a path. A key may be a URL or an ARN.
        return str(child.name.key).replace("/", "%2F")
    start = child.start
    return start.default_id if isinstance(start, AnySupervisorSpec) else factory_name(start)


def _default_shutdown(child: "Child[Any]") -> float:
    return INFINITY if isinstance(child.start, AnySupervisorSpec) else GRACE


def _default_start_timeout(child: "Child[Any]") -> float:
    # The children of a supervisor have limits of their own. OTP has no limit here either.
    return INFINITY if isinstance(child.start, AnySupervisorSpec) else START_TIMEOUT


@attrs.frozen
class Child(Generic[A]):
    """The spec of one child of a supervisor (OTP: child spec).

    | field | default | legal values |
    | --- | --- | --- |
    | start | | an Actor class, a function that returns a new actor, or a supervisor spec |
    | name | None; that of a Resource | a Name that every incarnation of the child registers |
    | restart | PERMANENT | PERMANENT: always; TRANSIENT: after a crash; TEMPORARY: never |
    | shutdown | 5.0 s; for a supervisor: INFINITY | seconds to stop in; INFINITY; BRUTAL_KILL |
    | start_timeout | 60.0 s; for a supervisor: INFINITY | seconds for `init`; INFINITY |
    | id | the name's key ("/" is %2F), else the name of `start` | text without "/"; unique |
    | significant | False | True for a child that `auto_shutdown` watches; not if PERMANENT |

    The supervisor calls `start` for each incarnation, in the task of the new actor. Give the class,
    or `functools.partial` of the class with arguments. An instance is refused: a restart must
    begin with fresh state.

    >>> from functools import partial
    >>> import attrs
    >>> from okibi.actors import Name, Server
    >>> from okibi.supervisors import Child, Restart
    >>> @attrs.define(eq=False)
    ... class Pool(Server):
    ...     size: int = 8
    >>> Child(Pool).id
    'Pool'
    >>> large = Child(partial(Pool, size=64), name=Name("pool", Pool), restart=Restart.TRANSIENT)
    >>> large.id, large.shutdown, large.start()
    ('pool', 5.0, Pool(size=64))
    >>> Child(Pool())
    Traceback (most recent call last):
    ...
    okibi...SpecError: Child(start=...): give the class Pool, or a function that makes a new ...

    Raises:
        SpecError: a field is invalid.
    """

    start: "Callable[[], A] | AnySupervisorSpec[A]"
    name: Name[A] | None = attrs.field(
        default=attrs.Factory(_default_name, takes_self=True), kw_only=True
    )
    restart: Restart = attrs.field(default=Restart.PERMANENT, kw_only=True)
    shutdown: float | Literal["brutal_kill"] = attrs.field(
        default=attrs.Factory(_default_shutdown, takes_self=True), kw_only=True
    )
    start_timeout: float = attrs.field(
        default=attrs.Factory(_default_start_timeout, takes_self=True), kw_only=True
    )
    id: str = attrs.field(default=attrs.Factory(_default_id, takes_self=True), kw_only=True)
    significant: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        start: object = self.start
        if isinstance(start, Actor):
            raise SpecError(
                f"Child(start=...): give the class {shape(start)}, or a function that makes a new "
                f"one, not an instance",
                field="start",
                value=start,
            )
        child_id: object = self.id
        known = repr(child_id) if type(child_id) is str else describe_value(child_id)
        where = f"child {known}"
        for field, (legal, rule) in self._rules().items():
            if not legal:
                raise wrong_value(field, rule, getattr(self, field), where=where)
        if self.significant and self.restart is Restart.PERMANENT:
            raise SpecError(
                f"{where}: a PERMANENT child is always restarted and cannot be significant: use "
                f"TRANSIENT or TEMPORARY",
                field="significant",
                value=True,
            )

    def _rules(self) -> dict[str, tuple[bool, str]]:
        """Return for each field whether the value is legal, and the rule in words."""
        name: object = self.name
        child_id: object = self.id
        restart: object = self.restart
        shutdown: object = self.shutdown
        timeout: object = self.start_timeout
        significant: object = self.significant
        return {
            "start": (
                _can_start(self.start),
                "an Actor class, a function that makes an actor, or a supervisor spec",
            ),
            "name": (name is None or isinstance(name, Name), "a Name or None"),
            "id": (
                isinstance(child_id, str) and _is_id(child_id),
                "non-empty text without a slash",
            ),
            "restart": (isinstance(restart, Restart), "a Restart"),
            "shutdown": (
                shutdown == BRUTAL_KILL or (is_number(shutdown) and cast("float", shutdown) >= 0),
                "seconds >= 0, INFINITY or BRUTAL_KILL",
            ),
            "start_timeout": (
                is_number(timeout) and cast("float", timeout) > 0,
                "seconds > 0 or INFINITY",
            ),
            "significant": (isinstance(significant, bool), "True or False"),
        }


def _can_start(start: object) -> bool:
    if isinstance(start, type):
        return issubclass(start, Actor)
    return callable(start) or isinstance(start, AnySupervisorSpec)


def _is_id(text: str) -> bool:
    # Ids are the parts of a path.
    return bool(text) and "/" not in text


def build_factory(child: "Child[Any]") -> Callable[[], Actor]:
    """Return the function that makes the child's actor, also if `start` is a supervisor spec."""
    start = child.start
    return partial(build_supervisor, start) if isinstance(start, AnySupervisorSpec) else start


def collect_names(child: "Child[Any]") -> list[Hashable]:
    """Return the keys of all names that a restart of the child registers again.

    If the child is a supervisor, the names of its children are included.
    """
    found: list[Hashable] = [] if child.name is None else [child.name.key]
    if isinstance(child.start, SupervisorSpec):
        for each in child.start.children:
            found += collect_names(each)
    return found


def as_children(children: Iterable[Child[Any]]) -> tuple[Child[Any], ...]:
    """Convert the argument `children` to a tuple.

    Raises:
        SpecError: `children` is not iterable, or an element is no Child.
    """
    given: object = children
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise wrong_value("children", "a list of Child", children)
    found = tuple(children)
    for at, child in enumerate(found):
        check_child(child, "children", f"children[{at}]")
    return found


def check_child(child: object, field: str, where: str | None = None) -> None:
    """Check that a value is a Child.

    Args:
        child: the value.
        field: the name of the argument that holds the value.
        where: the expression for the message, for instance `children[2]`. Default: `field`.

    Raises:
        SpecError: the value is no Child.
    """
    if isinstance(child, Child):
        return
    message = f"{where or field} must be a Child, got {describe_value(child)}"
    given, kind = child, type(child).__name__
    if isinstance(child, AnySupervisorSpec):
        message += f": write Child({kind}(...))"
    elif _can_start(child):
        message += f": write Child({factory_name(cast('Any', child))})"
    raise SpecError(message, field=field, value=given)


def check_significant(child: Child[Any], auto_shutdown: AutoShutdown) -> None:
    """Check that a significant child has a supervisor with auto_shutdown (OTP: bad_combination).

    Raises:
        SpecError: the child is significant, and `auto_shutdown` is NEVER.
    """
    if child.significant and auto_shutdown is AutoShutdown.NEVER:
        raise SpecError(
            f"child {child.id!r} is significant, but the auto_shutdown of its supervisor is "
            f"NEVER: change one of them",
            field="significant",
            value=True,
        )


@attrs.frozen
class SupervisorSpec(AnySupervisorSpec[Any]):
    """The spec of a supervisor: children and options (OTP: supervisor flags and child specs).

    | field | default | legal values |
    | --- | --- | --- |
    | children | () | Child values in start order, with unique ids and names |
    | strategy | ONE_FOR_ONE | ONE_FOR_ONE; REST_FOR_ONE; ONE_FOR_ALL |
    | intensity | 3 | the number of restarts allowed within `period`; 0: none; INFINITY: any |
    | period | 5.0 s | the window in which restarts are counted |
    | auto_shutdown | NEVER | NEVER; ANY_SIGNIFICANT; ALL_SIGNIFICANT |
    | backoff | None | a Backoff delays restarts; None restarts at once; INFINITY needs one |

    The docstring of `Supervisor` explains the options. A spec may be a child of another spec:

    >>> from okibi.actors import Server
    >>> from okibi.supervisors import Child, Strategy, SupervisorSpec
    >>> class Pool(Server): ...
    >>> class Cache(Server): ...
    >>> class Web(Server): ...
    >>> storage = SupervisorSpec([Child(Pool), Child(Cache)], strategy=Strategy.REST_FOR_ONE)
    >>> tree = SupervisorSpec([Child(storage, id="storage"), Child(Web)])
    >>> [child.id for child in tree.children]
    ['storage', 'Web']
    >>> SupervisorSpec([Child(Pool), Child(Pool)])
    Traceback (most recent call last):
    ...
    okibi...SpecError: two children have the id 'Pool': give one of them another id=

    Raises:
        SpecError: a field is invalid, or two children have the same id or name.
    """

    children: tuple[Child[Any], ...] = attrs.field(default=(), converter=as_children)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: float = 3
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    backoff: "Backoff | None" = None

    def __attrs_post_init__(self) -> None:
        strategy: object = self.strategy
        auto: object = self.auto_shutdown
        if not isinstance(strategy, Strategy):
            raise wrong_value("strategy", "a Strategy", strategy)
        check_intensity(self.intensity, self.period, self.backoff is not None)
        if not isinstance(auto, AutoShutdown):
            raise wrong_value("auto_shutdown", "an AutoShutdown", auto)
        if self.backoff is not None:
            from .backoff import check_backoff

            check_backoff(self.backoff)
        ids: set[str] = set()
        names: set[Hashable] = set()
        for child in self.children:
            # First: two resources of one name have one id, too, and another id would not help.
            if child.name is not None and child.name.key in names:
                message = (
                    f"two children have the name {child.name.key!r}: give one of them another name="
                )
                raise SpecError(message, field="name", value=child.name)
            if child.id in ids:
                message = f"two children have the id {child.id!r}: give one of them another id="
                raise SpecError(message, field="id", value=child.id)
            ids.add(child.id)
            if child.name is not None:
                names.add(child.name.key)
            check_significant(child, auto)
