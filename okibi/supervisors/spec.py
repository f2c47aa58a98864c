"""Child specs and supervisor flags: frozen values, validated where they are made.

The tree is data. It can be printed, compared and tested without running it, and a mistake in it
is found when it is written, each with an error of its own (OTP: `supervisor:check_childspecs`).
"""

# What is checked here may be anything, whatever its annotation promises.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
import math
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, cast

import attrs

from ..actors import Actor, Name
from ..actors.safe_repr import misplaced, shape
from ..actors.start import GRACE, START_TIMEOUT, factory_name
from .flags import (
    AnySupervisorSpec,
    AutoShutdown,
    Backoff,
    check_backoff,
    check_intensity,
    is_number,
    supervisor_of,
)
from .spec_errors import (
    BadCombination,
    DuplicateChild,
    DuplicateName,
    InvalidAutoShutdown,
    InvalidChild,
    InvalidId,
    InvalidName,
    InvalidRestart,
    InvalidShutdown,
    InvalidSignificant,
    InvalidStart,
    InvalidStartTimeout,
    InvalidStrategy,
    SpecError,
)

if TYPE_CHECKING:
    # A default (PEP 696), so that `sub = Child(SupervisorSpec(...))` needs no annotation.
    from typing_extensions import TypeVar

    A = TypeVar("A", bound=Actor, default=Actor)
else:
    from typing import TypeVar

    A = TypeVar("A", bound=Actor)

BRUTAL_KILL: Final = "brutal_kill"
INFINITY: Final = math.inf


class Restart(enum.Enum):
    """When a child that has ended is started again (OTP: restart type)."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(enum.Enum):
    """Which siblings are restarted with a child (OTP: restart strategy)."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


def _default_id(child: "Child[Any]") -> str:
    if isinstance(child.name, Name):
        return str(child.name.key)
    start = child.start
    return start.default_id if isinstance(start, AnySupervisorSpec) else factory_name(start)


def _default_shutdown(child: "Child[Any]") -> float:
    return INFINITY if isinstance(child.start, AnySupervisorSpec) else GRACE


def _default_start_timeout(child: "Child[Any]") -> float:
    # Each child below has a limit of its own: theirs together is nobody's to guess (OTP: none).
    return INFINITY if isinstance(child.start, AnySupervisorSpec) else START_TIMEOUT


@attrs.frozen
class Child(Generic[A]):
    """One child of a supervisor (OTP: child spec).

    | field | default | legal |
    | --- | --- | --- |
    | start | | an actor's class, a callable that makes a fresh actor, or a supervisor's spec |
    | name | None | a Name that others reach it by, whichever incarnation lives |
    | restart | PERMANENT | PERMANENT: always; TRANSIENT: after a crash; TEMPORARY: never |
    | shutdown | 5.0 s; for a supervisor: INFINITY | seconds to end in, INFINITY, or BRUTAL_KILL |
    | start_timeout | 60.0 s; a supervisor's: INFINITY | seconds that `init` may take, or INFINITY |
    | id | the name's, else the factory's | unique among its siblings; the last part of its path |
    | significant | False | True, if not PERMANENT: see the supervisor's `auto_shutdown` |

    `start` is called at every start, in the new actor's own task, and has to make a new actor each
    time: a class, or `functools.partial` of it with arguments, never an instance.

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
    okibi.supervisors.spec_errors.InvalidStart: child 'Pool': start makes an actor, not Pool

    Raises:
        SpecError: the subclass that belongs to the field.
    """

    start: "Callable[[], A] | AnySupervisorSpec[A]"
    name: Name[A] | None = attrs.field(default=None, kw_only=True)
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
        place: object = self.id
        where = f"child {place!r}" if type(place) is str else f"child {misplaced(place)}"
        for field, legal in self._legal().items():
            error, good, sentence = legal
            if not good:
                raise error(f"{where}: {field} {sentence}, not {misplaced(getattr(self, field))}")
        if self.significant and self.restart is Restart.PERMANENT:
            raise BadCombination(
                f"{where}: a significant child is TRANSIENT or TEMPORARY; a PERMANENT one is "
                f"always restarted, so its end can end nobody"
            )

    def _legal(self) -> dict[str, tuple[type[SpecError], bool, str]]:
        shutdown: object = self.shutdown
        timeout: object = self.start_timeout
        lasting = is_number(shutdown) and cast("float", shutdown) >= 0
        positive = is_number(timeout) and cast("float", timeout) > 0
        name: object = self.name
        place: object = self.id
        restart: object = self.restart
        significant: object = self.significant
        return {
            "start": (InvalidStart, _makes_actors(self.start), "makes an actor"),
            "name": (InvalidName, name is None or isinstance(name, Name), "is a Name or None"),
            "id": (InvalidId, isinstance(place, str) and _fits(place), "is text without a slash"),
            "restart": (InvalidRestart, isinstance(restart, Restart), "is a Restart"),
            "shutdown": (
                InvalidShutdown,
                lasting or shutdown == BRUTAL_KILL,
                "is seconds from 0, INFINITY or BRUTAL_KILL",
            ),
            "start_timeout": (InvalidStartTimeout, positive, "is seconds above 0"),
            "significant": (
                InvalidSignificant,
                isinstance(significant, bool),
                "is True or False",
            ),
        }


def _makes_actors(start: object) -> bool:
    if isinstance(start, type):
        return issubclass(start, Actor)
    return callable(start) or isinstance(start, AnySupervisorSpec)


def _fits(place: str) -> bool:
    return bool(place) and "/" not in place


def factory_of(child: "Child[Any]") -> Callable[[], Actor]:
    """What makes the actor of a child, whichever way its spec says it."""
    start = child.start
    return partial(supervisor_of, start) if isinstance(start, AnySupervisorSpec) else start


def names_of(child: "Child[Any]") -> list[Hashable]:
    """The keys of the names that a restart of this child brings back, its own children's too."""
    found: list[Hashable] = [] if child.name is None else [child.name.key]
    if isinstance(child.start, SupervisorSpec):
        for each in child.start.children:
            found += names_of(each)
    return found


def as_children(children: Iterable[Child[Any]]) -> tuple[Child[Any], ...]:
    """The children of a spec, each of them a Child.

    Raises:
        InvalidChild: it is no list, or something else is in it.
    """
    given: object = children
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise InvalidChild(f"children is a list of Child, not {shape(children)}")
    found = tuple(children)
    for child in found:
        if not isinstance(child, Child):
            raise _no_child(child)
    return found


def _no_child(what: Any) -> InvalidChild:
    name = factory_name(what)
    return InvalidChild(f"children holds {name}; write Child({name})")


def check_significant(child: Child[Any], auto_shutdown: AutoShutdown) -> None:
    """Refuse a significant child where nobody asks for its significance.

    Raises:
        BadCombination: the supervisor never shuts down by itself.
    """
    if child.significant and auto_shutdown is AutoShutdown.NEVER:
        raise BadCombination(
            f"child {child.id!r} is significant, and its supervisor's auto_shutdown is NEVER: "
            f"change one of them"
        )


@attrs.frozen
class SupervisorSpec(AnySupervisorSpec[Any]):
    """A supervisor's children and flags (OTP: supervisor flags).

    | field | default | legal |
    | --- | --- | --- |
    | children | () | Child values with ids of their own, in start order |
    | strategy | ONE_FOR_ONE | ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE |
    | intensity | 3 | how many restarts within `period` are borne; 0: none |
    | period | 5.0 s | the window in which restarts are counted |
    | auto_shutdown | NEVER | NEVER; ANY_SIGNIFICANT, ALL_SIGNIFICANT: ends with such children |
    | backoff | None | a Backoff: restarts wait; None: they do not |

    What they mean is told by `Supervisor`. A supervisor may be a child itself, by its flags:

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
    okibi.supervisors.spec_errors.DuplicateChild: two children are called 'Pool': give one an id=

    Raises:
        SpecError: the subclass that belongs to the field.
    """

    children: tuple[Child[Any], ...] = attrs.field(default=(), converter=as_children)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 3
    period: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    backoff: Backoff | None = None

    def __attrs_post_init__(self) -> None:
        strategy: object = self.strategy
        auto: object = self.auto_shutdown
        if not isinstance(strategy, Strategy):
            raise InvalidStrategy(f"strategy is a Strategy, not {misplaced(strategy)}")
        check_intensity(self.intensity, self.period)
        if not isinstance(auto, AutoShutdown):
            raise InvalidAutoShutdown(f"auto_shutdown is an AutoShutdown, not {misplaced(auto)}")
        check_backoff(self.backoff)
        ids: set[str] = set()
        names: set[Hashable] = set()
        for child in self.children:
            if child.id in ids:
                raise DuplicateChild(f"two children are called {child.id!r}: give one an id=")
            ids.add(child.id)
            if child.name is not None and child.name.key in names:
                raise DuplicateName(f"two children are to bear the name {child.name.key!r}")
            if child.name is not None:
                names.add(child.name.key)
            check_significant(child, auto)
