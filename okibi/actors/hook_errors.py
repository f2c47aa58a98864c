"""What is said of a class that overrides a hook without its `async`.

Python's own word for it, that None cannot be awaited, names neither the method nor its class, and
no line of the user's stands in the traceback.
"""

from typing import Any


def awaited(given: Any, actor: object, name: str) -> Any:
    """What a hook has given, if it can be awaited.

    Raises:
        TypeError: it was a plain `def`, which has given nothing.
    """
    if given is None:
        raise no_async(actor, name)
    return given


def no_async(actor: object, name: str) -> TypeError:
    """The error of a hook that is a plain `def`."""
    return TypeError(f"{type(actor).__name__}.{name} is no `async def`")
