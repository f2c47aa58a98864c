"""The error for a hook that is a plain `def` where okibi awaits it.

Python's own error, "NoneType can't be awaited", names neither the hook nor its class, and its
traceback has no line of the user's.
"""

from typing import Any


def require_awaitable(returned: Any, actor: object, hook: str) -> Any:
    """Return what a hook has returned, to be awaited.

    Raises:
        TypeError: the hook returned None, so it is a plain `def`.
    """
    if returned is None:
        raise not_async_error(actor, hook)
    return returned


def not_async_error(actor: object, hook: str) -> TypeError:
    """Build the error for a hook that is a plain `def`."""
    return TypeError(f"{type(actor).__name__}.{hook} must be an `async def`")
