"""What the flags of every kind of supervisor have in common, and who performs them."""

# What is checked here may be anything, whatever its annotation promises.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

import attrs

from ..actors import Actor
from ..actors.safe_repr import misplaced
from .spec_error import SpecError, wrong_value

if TYPE_CHECKING:
    # A default (PEP 696), so that `class Mine(AnySupervisorSpec)` needs no argument.
    from typing_extensions import TypeVar

    B = TypeVar("B", bound=Actor)
    S_co = TypeVar("S_co", bound=Actor, default=Actor, covariant=True)
else:
    from typing import TypeVar

    B = TypeVar("B", bound=Actor)
    S_co = TypeVar("S_co", bound=Actor, covariant=True)


class AutoShutdown(enum.Enum):
    """Whether a supervisor ends when its significant children have (OTP: auto_shutdown)."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class AnySupervisorSpec(Generic[S_co]):
    """What a supervisor of some kind is told, as a value: stands where a child's factory does.

    `SupervisorSpec` and the specs of the other kinds of supervisor are its subclasses, each a
    frozen value. The class that performs them says so: `@performs(SupervisorSpec)`. The type
    checkers know it from `AnySupervisorSpec[DynamicSupervisor]`.

    Attributes:
        default_id: what a child with such flags is called, if nobody says otherwise.
    """

    __slots__ = ()

    default_id: ClassVar[str] = "supervisor"


_performers: dict[type[AnySupervisorSpec[Any]], Callable[[Any], Actor]] = {}


def implements(spec: type[AnySupervisorSpec[Any]]) -> Callable[[type[B]], type[B]]:
    """Say of an actor's class that it is what such flags describe; it is made from them alone."""

    def note(performer: type[B]) -> type[B]:
        _performers[spec] = performer
        return performer

    return note


def build_supervisor(spec: AnySupervisorSpec[B]) -> B:
    """Make the supervisor that the flags describe.

    Raises:
        SpecError: no class has said that it performs them.
    """
    for kind in type(spec).__mro__:
        if kind in _performers:
            return cast("B", _performers[kind](spec))
    kind = type(spec)
    message = (
        f"no supervisor runs {kind.__name__}: decorate its class with @performs({kind.__name__})"
    )
    raise SpecError(message, field="start", value=spec)


def is_number(value: object) -> bool:
    """Whether it is a number that can be compared: no truth value, no nan."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


@attrs.frozen
class Backoff:
    """How long a supervisor waits before it restarts a child; without one it never does.

    The first restart waits `first` seconds, each further one `factor` times as long as the one
    before, at most `maximum`. A child that has then run for longer than the supervisor's
    `period` begins anew. OTP has no such wait; its restarts follow each other at once.

    Args:
        first: seconds, above 0.
        maximum: seconds, at least `first`.
        factor: at least 1.

    Raises:
        SpecError: one of them is something else.
    """

    first: float
    maximum: float
    factor: float = 2.0

    def __attrs_post_init__(self) -> None:
        if not is_number(self.first) or not 0 < self.first < math.inf:
            rule = "a finite number of seconds > 0"
            raise wrong_value("first", rule, self.first, where="Backoff")
        if not is_number(self.maximum) or not self.first <= self.maximum < math.inf:
            rule = f"a finite number of seconds >= first ({misplaced(self.first)})"
            raise wrong_value("maximum", rule, self.maximum, where="Backoff")
        if not is_number(self.factor) or not 1 <= self.factor < math.inf:
            raise wrong_value("factor", "a finite number >= 1", self.factor, where="Backoff")


def check_intensity(intensity: object, period: object) -> None:
    """The two numbers that every kind of supervisor counts its restarts with.

    Raises:
        SpecError: one of them is wrong.
    """
    if not isinstance(intensity, int) or isinstance(intensity, bool) or intensity < 0:
        raise wrong_value("intensity", "an integer >= 0", intensity)
    if not is_number(period) or cast("float", period) <= 0:
        raise wrong_value("period", "seconds > 0", period)


def check_backoff(backoff: object) -> None:
    """Back-off is asked for with a Backoff, or not at all.

    Raises:
        SpecError: it is something else.
    """
    if backoff is not None and not isinstance(backoff, Backoff):
        raise wrong_value("backoff", "a Backoff or None", backoff)
