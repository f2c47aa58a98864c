"""The runtime's own exceptions: a failed init, a passed deadline."""

from ...actors.exits import leaf_in
from ...actors.frames import Frames


class InitError(Exception):
    """The function cannot be served: reported to /init/error, then the process ends.

    Args:
        kind: the errorType, for example `Runtime.ImportModuleError`.
        message: a text that says what was wrong, where, and what to do.
        stack: lines as `traceback.format_list` gives them.
        logged: the part of the stack that is logged, if a crash report has the whole stack; None
            logs all.

    Attributes:
        header: the `Lambda-Runtime-Function-Error-Type`; empty for the errorType.
        path: the path that the error is reported to, below `/runtime/`.
        code: the exit code of the process.
    """

    header = ""
    path = b"init/error"
    code = 1

    def __init__(
        self,
        kind: str,
        message: str,
        stack: tuple[str, ...] = (),
        logged: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.stack = stack
        self.logged = stack if logged is None else logged


class DeadlineExceeded(BaseException):
    """Raised in a plain `def` on the main thread when the time of the invocation is up.

    Not an Exception, so that `except Exception` does not catch it. Code in `except BaseException`,
    in `finally` or at the end of a `with` may still run, for three quarters of the margin
    (OKIBI_DEADLINE_MARGIN_MS). A handler that catches the exception and continues gets the
    exception again, every 10 ms. The event is answered with this error, whatever the handler
    returns afterwards.

        try:
            compute(event)
        except okibi.DeadlineExceeded:
            save_progress()
            raise

    Attributes:
        awaited: the frames of the asyncio task that ran when the exception was raised.
    """

    awaited: Frames = []  # noqa: RUF012, never changed in place


class ProcessStopped(DeadlineExceeded):
    """Raised like DeadlineExceeded when the process has to end before the handler does."""


def prefer_deadline(crash: BaseException) -> BaseException:
    """Return the DeadlineExceeded of an exception group, which caused the others; else the crash
    itself.
    """
    late = leaf_in(crash, DeadlineExceeded)
    return crash if late is None else late
