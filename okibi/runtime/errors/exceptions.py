"""The runtime's own exceptions: a failed init, a passed deadline."""

from ...actors.exits import leaf_in
from ...actors.frames import Frames


class InitError(Exception):
    """The function cannot be served; reported by /init/error, then the process ends.

    Args:
        kind: the errorType, `Runtime.ImportModuleError`.
        message: what was wrong, where, and what to do.
        stack: lines as `traceback.format_list` gives them.

    Attributes:
        header: the `Lambda-Runtime-Function-Error-Type`; empty for the errorType.
        path: where it is reported, below `/runtime/`.
        code: the process's exit code.
    """

    header = ""
    path = b"init/error"
    code = 1

    def __init__(self, kind: str, message: str, stack: tuple[str, ...] = ()) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.stack = stack


class DeadlineExceeded(BaseException):
    """The invocation's time is over: raised in a plain `def` on the main thread, where it stands.

    `except Exception` lets it by. Code that it sets off, an `except BaseException`, a `finally` or
    the end of a `with`, has three quarters of the margin (OKIBI_DEADLINE_MARGIN_MS). A handler that
    catches it and goes on gets it again, every 10 ms. Whatever the handler returns after it, the
    event is answered with this error.

    Attributes:
        awaited: the frames of the task for which asyncio's loop ran where it was raised.
    """

    awaited: Frames = []  # noqa: RUF012, never changed in place


class ProcessStopped(DeadlineExceeded):
    """The process is to end, and the time that is left for what is in flight is over."""


def prefer_deadline(crash: BaseException) -> BaseException:
    """Of a group with a DeadlineExceeded that one: the others came of it. Else what it is given."""
    late = leaf_in(crash, DeadlineExceeded)
    return crash if late is None else late
