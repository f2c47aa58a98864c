"""The error of an invalid spec."""

from ..actors import Refusal
from ..actors.safe_repr import describe_value


# Also a Refusal: `start_child` raises a SpecError in the caller, and the supervisor keeps running.
class SpecError(Refusal, ValueError):
    """An argument of a spec is invalid (OTP: `supervisor:check_childspecs/1`).

    The message says which spec is wrong, what the rule is, and what was found.

    >>> from okibi.supervisors import SpecError, SupervisorSpec
    >>> try:
    ...     SupervisorSpec([], intensity=-1)
    ... except SpecError as error:
    ...     print(error)
    ...     print(error.field)
    intensity must be an integer >= 0, got -1
    intensity

    Attributes:
        field: the name of the invalid argument, for instance "intensity" or "children".
        value: the invalid value.
    """

    # `field` has a default for `copy` and `pickle`: they pass the message, then set the attributes.
    def __init__(self, message: str, *, field: str = "", value: object = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


def wrong_value(field: str, rule: str, value: object, *, where: str = "") -> SpecError:
    """Build a SpecError with the message `{where}: {field} must be {rule}, got {value}`.

    Args:
        field: the name of the argument.
        rule: the legal values, in words.
        value: the invalid value. The message shows numbers and names of classes; of other values
            it shows only the type, because a value may be a secret.
        where: the spec that has the argument, for instance "child 'pool'".
    """
    prefix = f"{where}: " if where else ""
    message = f"{prefix}{field} must be {rule}, got {describe_value(value)}"
    return SpecError(message, field=field, value=value)
