"""What a callable can be called with, as its signature says.

From Python 3.14 on a signature evaluates the annotations, which nobody may have done before, and
they may name what only a type checker imports (`if TYPE_CHECKING`). So they are asked for as text,
for which no name is looked up.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

# annotationlib's, which `inspect` has; before Python 3.14 there is none.
_formats: Any = getattr(inspect, "Format", None)
_TEXT: dict[str, Any] = {"format": _formats.STRING} if _formats else {}
_AS_TEXT: dict[str, Any] = {"annotation_format": _formats.STRING} if _formats else {}


def bind(function: Callable[..., object], /, *args: object, **kwargs: object) -> None:
    """See that it can be called with these.

    Raises:
        TypeError: it cannot; the message says what is missing, or too much.
    """
    signature(function).bind(*args, **kwargs)


def signature(function: Callable[..., object]) -> inspect.Signature:
    """Its signature, for which no annotation is evaluated."""
    return inspect.signature(function, **_AS_TEXT)


def annotations_as_text(holder: Any) -> Mapping[str, Any]:
    """The own annotations of a function or class, as far as they are not evaluated: as text."""
    return inspect.get_annotations(holder, **_TEXT)
