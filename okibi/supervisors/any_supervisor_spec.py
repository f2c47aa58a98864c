"""The base class of all supervisor specs, and the options that they share.

`implements` connects a spec class to the supervisor class that runs it.
"""

# Arguments are checked at run time, whatever their annotations promise.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

import attrs

from ..actors import Actor
from ..actors.safe_repr import describe_value
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
    """When a supervisor stops because significant children have ended (OTP: auto_shutdown).

    NEVER: the supervisor never stops by itself. ANY_SIGNIFICANT: the supervisor stops after the
    first significant child. ALL_SIGNIFICANT: the supervisor stops after the last significant child.
    """

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class AnySupervisorSpec(Generic[S_co]):
    """The base class of supervisor specs: SupervisorSpec, DynamicSupervisorSpec and others.

    A supervisor spec is a frozen value. `Child(spec)` makes the supervisor a child of another
    supervisor. The type argument names the supervisor class for type checkers; `@implements` names
    it at run time:

        @attrs.frozen
        class PoolSpec(AnySupervisorSpec["Pool"]):
            size: int = 8

        @implements(PoolSpec)
        class Pool(Supervisor): ...

    Attributes:
        default_id: the id of a child with this spec, unless the child has a name or an id.
    """

    __slots__ = ()

    default_id: ClassVar[str] = "supervisor"


_supervisor_classes: dict[type[AnySupervisorSpec[Any]], Callable[[Any], Actor]] = {}


def implements(spec: type[AnySupervisorSpec[Any]]) -> Callable[[type[B]], type[B]]:
    """Register the decorated class as the supervisor class of a spec class.

    The supervisor class is called with the spec as its only argument.
    """

    def register(supervisor: type[B]) -> type[B]:
        _supervisor_classes[spec] = supervisor
        return supervisor

    return register


def build_supervisor(spec: AnySupervisorSpec[B]) -> B:
    """Build the supervisor of a spec.

    Raises:
        SpecError: no supervisor class implements the spec's class or a base of it.
    """
    for kind in type(spec).__mro__:
        if kind in _supervisor_classes:
            return cast("B", _supervisor_classes[kind](spec))
    name = type(spec).__name__
    message = f"no supervisor class implements {name}: add the decorator @implements({name})"
    raise SpecError(message, field="start", value=spec)


def is_number(value: object) -> bool:
    """Return whether a value is an int or a float that can be compared: no bool, no nan."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


@attrs.frozen
class Backoff:
    """Delays before the restarts of a child. OTP has no such delays.

    The first restart waits `first` seconds. Each further restart waits `factor` times as long as
    the restart before, up to `maximum` seconds. After a child has run for longer than the
    supervisor's `period`, the delay is `first` again.

    >>> from okibi.supervisors import Backoff, SupervisorSpec
    >>> tree = SupervisorSpec([], intensity=10, period=60, backoff=Backoff(0.1, 5))

    Args:
        first: seconds, > 0.
        maximum: seconds, >= `first`.
        factor: a number >= 1.

    Raises:
        SpecError: an argument is invalid.
    """

    first: float
    maximum: float
    factor: float = 2.0

    def __attrs_post_init__(self) -> None:
        if not is_number(self.first) or not 0 < self.first < math.inf:
            rule = "a finite number of seconds > 0"
            raise wrong_value("first", rule, self.first, where="Backoff")
        if not is_number(self.maximum) or not self.first <= self.maximum < math.inf:
            rule = f"a finite number of seconds >= first ({describe_value(self.first)})"
            raise wrong_value("maximum", rule, self.maximum, where="Backoff")
        if not is_number(self.factor) or not 1 <= self.factor < math.inf:
            raise wrong_value("factor", "a finite number >= 1", self.factor, where="Backoff")


def check_intensity(intensity: object, period: object) -> None:
    """Check the two numbers that limit restarts.

    Raises:
        SpecError: a number is invalid.
    """
    if not isinstance(intensity, int) or isinstance(intensity, bool) or intensity < 0:
        raise wrong_value("intensity", "an integer >= 0", intensity)
    if not is_number(period) or cast("float", period) <= 0:
        raise wrong_value("period", "seconds > 0", period)


def check_backoff(backoff: object) -> None:
    """Check that `backoff` is a Backoff or None.

    Raises:
        SpecError: `backoff` is something else.
    """
    if backoff is not None and not isinstance(backoff, Backoff):
        raise wrong_value("backoff", "a Backoff or None", backoff)
