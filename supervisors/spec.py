"""Child specs and supervisor flags: frozen values, validated where they are made.

The tree is data. It can be printed, compared and tested without running it, and a mistake in it
is found when it is written, each with an error of its own (OTP: `supervisor:check_childspecs`).
"""

# What is checked here may be anything, whatever its annotation promises.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, cast

import attrs

from actors import Actor, Name
from actors.start import GRACE, START_TIMEOUT, factory_name

if TYPE_CHECKING:
    # A default (PEP 696), so that `sub = Child(Supervision(...))` needs no annotation.
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


class SpecError(ValueError):
    """A tree that cannot be: the subclass says which field, the sentence what to write."""


class InvalidStart(SpecError):
    """`start` is nothing that makes an actor."""


class InvalidName(SpecError):
    """`name` is no Name."""


class InvalidId(SpecError):
    """`id` is no text that can stand in a path."""


class InvalidRestart(SpecError):
    """`restart` is no Restart."""


class InvalidShutdown(SpecError):
    """`shutdown` is neither seconds nor BRUTAL_KILL."""


class InvalidStartTimeout(SpecError):
    """`start_timeout` is no number of seconds above zero."""


class InvalidChild(SpecError):
    """`children` holds something that is no Child."""


class DuplicateChild(SpecError):
    """Two children of one supervisor have the same id (OTP: `duplicate_child_name`)."""


class DuplicateName(SpecError):
    """Two children of one supervisor are to bear the same name."""


class InvalidStrategy(SpecError):
    """`strategy` is no Strategy."""


class InvalidIntensity(SpecError):
    """`intensity` is no whole number from 0."""


class InvalidPeriod(SpecError):
    """`period` is no number of seconds above zero."""


def _default_id(child: "Child[Any]") -> str:
    if isinstance(child.name, Name):
        return child.name.key
    return "supervisor" if isinstance(child.start, Supervision) else factory_name(child.start)


def _default_shutdown(child: "Child[Any]") -> float:
    return INFINITY if isinstance(child.start, Supervision) else GRACE


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


@attrs.frozen
class Child(Generic[A]):
    """One child of a supervisor (OTP: child spec).

    | field | default | legal |
    | --- | --- | --- |
    | start | | an actor's class, any callable that makes a fresh actor, or a Supervision |
    | name | None | a Name that others reach it by, whichever incarnation lives |
    | restart | PERMANENT | PERMANENT: always; TRANSIENT: after a crash; TEMPORARY: never |
    | shutdown | 5.0 s; a Supervision: INFINITY | seconds to end in, INFINITY, or BRUTAL_KILL |
    | start_timeout | 60.0 s | seconds that `init` may take |
    | id | the name's, else the factory's | unique among its siblings; the last part of its path |

    Raises:
        SpecError: the subclass that belongs to the field.
    """

    start: "Callable[[], A] | Supervision"
    name: Name[A] | None = attrs.field(default=None, kw_only=True)
    restart: Restart = attrs.field(default=Restart.PERMANENT, kw_only=True)
    shutdown: float | Literal["brutal_kill"] = attrs.field(
        default=attrs.Factory(_default_shutdown, takes_self=True), kw_only=True
    )
    start_timeout: float = attrs.field(default=START_TIMEOUT, kw_only=True)
    id: str = attrs.field(default=attrs.Factory(_default_id, takes_self=True), kw_only=True)

    def __attrs_post_init__(self) -> None:
        where = f"child {self.id!r}"
        for field, legal in self._legal().items():
            error, good, sentence = legal
            if not good:
                raise error(f"{where}: {field} {sentence}, not {getattr(self, field)!r}")

    def _legal(self) -> dict[str, tuple[type[SpecError], bool, str]]:
        shutdown: object = self.shutdown
        timeout: object = self.start_timeout
        lasting = _is_number(shutdown) and cast("float", shutdown) >= 0
        positive = _is_number(timeout) and cast("float", timeout) > 0
        name: object = self.name
        place: object = self.id
        restart: object = self.restart
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
        }


def _makes_actors(start: object) -> bool:
    if isinstance(start, type):
        return issubclass(start, Actor)
    return callable(start) or isinstance(start, Supervision)


def _fits(place: str) -> bool:
    return bool(place) and "/" not in place


def as_children(children: Iterable[Child[Any]]) -> tuple[Child[Any], ...]:
    """The children of a spec, each of them a Child.

    Raises:
        InvalidChild: it is no list, or something else is in it.
    """
    given: object = children
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise InvalidChild(f"children is a list of Child, not {children!r}")
    found = tuple(children)
    for child in found:
        if not isinstance(child, Child):
            raise InvalidChild(f"children holds {child!r}; write Child({child!r})")
    return found


@attrs.frozen
class Supervision:
    """A supervisor's children and flags (OTP: supervisor flags).

    | field | default | legal |
    | --- | --- | --- |
    | children | () | Child values with ids of their own, in start order |
    | strategy | ONE_FOR_ONE | ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE |
    | intensity | 3 | how many restarts within `period` are borne; 0: none |
    | period | 5.0 s | the window in which restarts are counted |

    Raises:
        SpecError: the subclass that belongs to the field.
    """

    children: tuple[Child[Any], ...] = attrs.field(default=(), converter=as_children)
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 3
    period: float = 5.0

    def __attrs_post_init__(self) -> None:
        strategy: object = self.strategy
        intensity: object = self.intensity
        period: object = self.period
        if not isinstance(strategy, Strategy):
            raise InvalidStrategy(f"strategy is a Strategy, not {strategy!r}")
        if not isinstance(intensity, int) or isinstance(intensity, bool) or intensity < 0:
            raise InvalidIntensity(f"intensity is a whole number from 0, not {intensity!r}")
        if not _is_number(period) or cast("float", period) <= 0:
            raise InvalidPeriod(f"period is seconds above 0, not {period!r}")
        seen: set[str] = set()
        for child in self.children:
            if child.id in seen:
                raise DuplicateChild(f"two children are called {child.id!r}: give one an id=")
            seen.add(child.id)
        names = [child.name.key for child in self.children if child.name is not None]
        for name in names:
            if names.count(name) > 1:
                raise DuplicateName(f"two children are to bear the name {name!r}")
