"""The error for a hook that is a plain `def` where okibi awaits it.

Python's own error, "NoneType can't be awaited", names neither the hook nor its class, and its
traceback has no line of the user's.
"""

from typing import Any


def require_awaitable(returned: Any, actor: Any, hook: str) -> Any:
    """Return what a hook has returned, to be awaited; it then runs on the actor's loop.

    Raises:
        TypeError: the hook returned None, so it is a plain `def`.
    """
    if returned is None:
        raise not_async_error(actor, hook)
    loop = getattr(actor, "__okibi_loop__", None)
    # `run` of a Server waits for its mailbox, on trio.
    if loop is None or hook == "run":
        return returned
    return loop.run_method(actor._process, returned)


def not_async_error(actor: object, hook: str) -> TypeError:
    """Build the error for a hook that is a plain `def`."""
    return TypeError(f"{type(actor).__name__}.{hook} must be an `async def`")
