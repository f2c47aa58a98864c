"""The handler of events that an adapter does not serve: the option `other`."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from ...supervisors.spec_error import wrong_value

Other = Callable[[Any, Any], object]


async def call_other(other: Other, event: Any, context: Any) -> object:
    """Call the handler of other events."""
    result = other(event, context)
    return await result if isawaitable(result) else result


def check_other(other: object) -> None:
    """Raise SpecError if `other` is neither None nor a function that can handle an event."""
    if other is not None and (not callable(other) or isinstance(other, type)):
        raise wrong_value("other", "a function other(event, context), or None", other)
