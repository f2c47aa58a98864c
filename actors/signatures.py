"""What a callable can be called with, as its signature says.

From Python 3.14 on a signature evaluates the annotations, which nobody may have done before, and
they may name what only a type checker imports (`if TYPE_CHECKING`). So they are asked for as text,
for which no name is looked up.
"""

import inspect
from collections.abc import Callable
from typing import Any

# annotationlib's, which `inspect` has; before Python 3.14 there is none.
_formats: Any = getattr(inspect, "Format", None)
_AS_TEXT: dict[str, Any] = {"annotation_format": _formats.STRING} if _formats else {}


def bind(function: Callable[..., object], /, *args: object, **kwargs: object) -> None:
    """See that it can be called with these.

    Raises:
        TypeError: it cannot; the message says what is missing, or too much.
    """
    inspect.signature(function, **_AS_TEXT).bind(*args, **kwargs)
