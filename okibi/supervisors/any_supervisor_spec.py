"""The base class of all supervisor specs, and the options that they share.

`implements` connects a spec class to the supervisor class that runs it.
"""

# Arguments are checked at run time, whatever their annotations promise.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryCast=false

import enum
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

from ..actors import Actor
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


def is_count(value: object) -> bool:
    """Return whether a value is an integer >= 0, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def check_intensity(intensity: object, period: object, delayed: bool) -> None:
    """Check the two numbers that limit restarts.

    Args:
        intensity: the number of restarts.
        period: the period in seconds.
        delayed: whether a Backoff delays the restarts. If not, INFINITY would never pause.

    Raises:
        SpecError: a number is invalid.
    """
    if not is_count(intensity) and (intensity != math.inf or not delayed):
        only = " if there is no backoff" if intensity == math.inf else ""
        raise wrong_value("intensity", f"an integer >= 0{only}", intensity)
    if not is_number(period) or cast("float", period) <= 0:
        raise wrong_value("period", "seconds > 0", period)
