"""Backoff: delays before restarts. Imported when the first spec has one."""

# Arguments are checked at run time, whatever their annotations promise.
# pyright: reportUnnecessaryIsInstance=false

import math

import attrs

from ..actors.safe_repr import describe_value
from .any_supervisor_spec import is_number
from .spec_error import wrong_value


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


def check_backoff(backoff: object) -> None:
    """Check that `backoff` is a Backoff or None.

    Raises:
        SpecError: `backoff` is something else.
    """
    if backoff is not None and not isinstance(backoff, Backoff):
        raise wrong_value("backoff", "a Backoff or None", backoff)
