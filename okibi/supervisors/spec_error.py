"""The error of every spec: which argument is wrong, and what to write."""

from ..actors import Refusal
from ..actors.safe_repr import misplaced


# A Refusal too: a running supervisor refuses a child with this error and keeps running.
class SpecError(Refusal, ValueError):
    """An argument of a spec is wrong (OTP: `supervisor:check_childspecs/1`).

    Attributes:
        field: the name of the argument, such as "intensity" or "children".
        value: what was given for it.
    """

    def __init__(self, message: str, *, field: str, value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


def wrong_value(field: str, rule: str, value: object, *, where: str = "") -> SpecError:
    """Build the error of a value that breaks a rule: `intensity must be an integer >= 0, got -1`.

    Args:
        field: the name of the argument.
        rule: what the value must be.
        value: what was given. The message names its type; only a number is shown itself.
        where: begins the message: which spec has the argument.
    """
    place = f"{where}: " if where else ""
    message = f"{place}{field} must be {rule}, got {misplaced(value)}"
    return SpecError(message, field=field, value=value)
