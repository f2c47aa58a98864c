"""Backoff: delays before restarts. Imported when the first spec has one."""

# Arguments are checked at run time, whatever their annotations promise.
# pyright: reportUnnecessaryIsInstance=false

import math

import attrs

from ..actors.safe_repr import describe_value
from .any_supervisor_spec import is_count, is_number
from .spec_error import wrong_value


@attrs.frozen
class Backoff:
    """Delays before the restarts of a child. OTP has no such delays.

    The first delay is `first` seconds. Each further delay is `factor` times as long as the delay
    before, up to `maximum` seconds. After a child has run for longer than the supervisor's
    `period`, its restarts count from the beginning.

    >>> from okibi.supervisors import INFINITY, Backoff, SupervisorSpec
    >>> tree = SupervisorSpec([], intensity=10, period=60, backoff=Backoff(0.1, 5))

    With an intensity of INFINITY the supervisor never gives up. A `Function` supervises its
    children so: three restarts at once, then delays of 1, 3, 9, 27 and 30 s.

    >>> tree = SupervisorSpec([], intensity=INFINITY, backoff=Backoff(1, 30, 3, immediate=3))

    A supervisor with back-off logs a crash in full. While the child crashes again at the same line
    with an error of the same type, each crash is one line in the log. A line also tells that the
    child runs again after a delay: it has run for a `period`.

    Args:
        first: seconds, > 0.
        maximum: seconds, >= `first`.
        factor: a number >= 1.
        immediate: the number of restarts without a delay before the first delay, an integer >= 0.

    Raises:
        SpecError: an argument is invalid.
    """

    first: float
    maximum: float
    factor: float = 2.0
    immediate: int = 0

    def __attrs_post_init__(self) -> None:
        if not is_number(self.first) or not 0 < self.first < math.inf:
            rule = "a finite number of seconds > 0"
            raise wrong_value("first", rule, self.first, where="Backoff")
        if not is_number(self.maximum) or not self.first <= self.maximum < math.inf:
            rule = f"a finite number of seconds >= first ({describe_value(self.first)})"
            raise wrong_value("maximum", rule, self.maximum, where="Backoff")
        if not is_number(self.factor) or not 1 <= self.factor < math.inf:
            raise wrong_value("factor", "a finite number >= 1", self.factor, where="Backoff")
        if not is_count(self.immediate):
            raise wrong_value("immediate", "an integer >= 0", self.immediate, where="Backoff")


def check_backoff(backoff: object) -> None:
    """Check that `backoff` is a Backoff or None.

    Raises:
        SpecError: `backoff` is something else.
    """
    if backoff is not None and not isinstance(backoff, Backoff):
        raise wrong_value("backoff", "a Backoff or None", backoff)
