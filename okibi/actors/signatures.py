"""Check which arguments a callable accepts, by its signature.

Since Python 3.14, annotations are evaluated when `inspect` reads them. An annotation may name an
import under `if TYPE_CHECKING`, and then raises NameError. This module reads annotations as text,
without evaluation.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def bind(function: Callable[..., object], /, *args: object, **kwargs: object) -> None:
    """Check that a function accepts these arguments.

    Raises:
        TypeError: the function does not accept them; the message names the missing or surplus
            argument.
    """
    signature(function).bind(*args, **kwargs)


def signature(function: Callable[..., object]) -> "inspect.Signature":
    """Return the signature of a function, without evaluating annotations."""
    return inspect.signature(function, **_as_text("annotation_format"))


def annotations_as_text(holder: Any) -> Mapping[str, Any]:
    """Return a function's or class's own annotations; as text where not yet evaluated."""
    return inspect.get_annotations(holder, **_as_text("format"))


def _as_text(argument: str) -> dict[str, Any]:
    # `inspect.Format` exists since Python 3.14.
    formats = getattr(inspect, "Format", None)
    return {argument: formats.STRING} if formats else {}
