"""A function in a real sandbox, a subprocess, for tests that are no async code."""

import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio

from ..local import FunctionSettings, LocalLambda, open_local_lambda
from ..runtime.handlers.function import Function, HandlerTarget, Workers
from .function_error import FunctionError, decode_result, encode_event
from .handler_context import encode_client_context

T = TypeVar("T")


class Sandbox:
    """A function in a subprocess. Created by `sandbox`.

    Attributes:
        output: the lines that the function's process has written, and Lambda's (START, END,
            REPORT).
    """

    def __init__(self, settings: FunctionSettings) -> None:
        self.output = list[str]()
        self._settings = settings
        self._opened: Future[LocalLambda] = Future()
        self._closing: trio.Event
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        # A daemon: a test run that is interrupted twice must end.
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def invoke(
        self, event: object = None, *, client_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Invoke the function and return the decoded result (Lambda Invoke). Blocks.

        Args:
            event: the event, encoded as JSON; bytes are sent unchanged.
            client_context: the client context, as the mobile SDK sends it.

        Returns:
            The result, decoded from JSON; bytes if the result is no JSON.

        Raises:
            FunctionTimedOut: the handler ran out of time.
            FunctionError: the function answered with an error.
            RuntimeError: the block of `sandbox` has ended.
            TypeError: JSON cannot represent the event.
        """
        payload, encoded = encode_event(event), encode_client_context(client_context)
        function = self._opened.result()
        result = self._call(lambda: function.invoke(payload, client_context=encoded))
        try:
            return decode_result(result)
        except FunctionError as error:
            if error.error_type == "Runtime.ImportModuleError":
                error.add_note(
                    f"The sandbox imports from {self._settings.task_root}. task_root=... gives"
                    " another folder; sandbox(function) finds that of the function."
                )
            raise

    @property
    def starts(self) -> int:
        """The number of times the process has been started."""
        return self._opened.result().starts

    @property
    def pid(self) -> int | None:
        """The id of the function's process, or None."""
        return self._opened.result().pid

    def shut_down(self) -> None:
        """End the process as Lambda does: SIGTERM, then SIGKILL after 300 ms. Blocks.

        The next invocation is a cold start.

        Raises:
            RuntimeError: no process is running, or the block of `sandbox` has ended.
        """
        self._call(self._opened.result().shut_down)

    # -- its thread

    def open(self) -> None:
        """Start the thread and the sandbox."""
        self._thread.start()
        self._opened.result()

    def close(self) -> None:
        """End the sandbox and the thread."""
        if self._thread.is_alive():
            self._token.run_sync_soon(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def _serve(self) -> None:
        self._token, self._closing = trio.lowlevel.current_trio_token(), trio.Event()
        async with (
            open_local_lambda(self._settings, output=self.output.append) as function,
            trio.open_nursery() as self._nursery,
        ):
            self._opened.set_result(function)
            await self._closing.wait()
            self._nursery.cancel_scope.cancel()

    def _call(self, act: Callable[[], Awaitable[T]]) -> T:
        """Run a function in the thread's trio run, and wait for its result."""
        answer: Future[T] = Future()

        async def run() -> None:
            try:
                answer.set_result(await act())
            finally:
                if not answer.done():
                    answer.set_exception(_ended())

        def start() -> None:
            if self._closing.is_set():
                answer.set_exception(_ended())
            else:
                self._nursery.start_soon(run)

        try:
            self._token.run_sync_soon(start)
        except trio.RunFinishedError:
            raise _ended() from None
        return answer.result()


def _ended() -> RuntimeError:
    return RuntimeError("the sandbox has ended: invoke it in the block of `sandbox`")


@contextmanager
def sandbox(
    handler: str | Function | Workers | HandlerTarget,
    *,
    task_root: str | Path | None = None,
    timeout: float = 3.0,
    concurrency: int | None = None,
    memory: int = 128,
    environment: Mapping[str, str] | None = None,
) -> Generator[Sandbox]:
    """Run a function in a real sandbox, a subprocess, until the block ends.

        with sandbox("app.function") as box:
            assert box.invoke({"name": "bob"}) == "hello bob"

    Everything is as on Lambda: a process with signals, a cold start, a kill at the time-out. Each
    sandbox costs a process start; `running` is faster. It blocks, and it needs no trio.

    Args:
        handler: the value of `_HANDLER`, such as `app.function`; or the Function, Handler class or
            callable itself, if its module names it.
        task_root: the folder of the function's code. Default: the working directory; for an object,
            the folder from which its module was imported.
        timeout: seconds that an invocation may take.
        concurrency: the maximum number of events in flight, as on Lambda Managed Instances; None
            for one at a time.
        memory: the memory of the function in MB, for the context object.
        environment: additional environment variables.

    Raises:
        OSError: the process cannot be started, as on Windows.
        ValueError: an argument is invalid, or no module names the object.
    """
    if isinstance(handler, str):
        name, folder = handler, Path.cwd()
    else:
        name, folder = _find_name(handler)
    settings = FunctionSettings(
        name,
        task_root=folder if task_root is None else Path(task_root),
        timeout=timeout,
        max_concurrency=concurrency,
        memory=memory,
        environment=environment or {},
    )
    box = Sandbox(settings)
    box.open()
    try:
        yield box
    finally:
        box.close()


def _find_name(target: Function | Workers | HandlerTarget) -> tuple[str, Path]:
    """Find the `module.name` of an object, and the folder from which the module was imported."""
    workers = target.handler if isinstance(target, Function) else target
    handler: object = workers.handler if isinstance(workers, Workers) else workers
    own = sys.modules.get(getattr(handler, "__module__", ""))
    # The class of a web application is its framework's, so its own module is elsewhere. Modules of
    # tests come last: they import it.
    others = sorted(
        [*sys.modules.values()], key=lambda each: "test" in getattr(each, "__name__", "")
    )
    for module in (own, *others):
        file = getattr(module, "__file__", None)
        if module is None or file is None or module.__name__ == "__main__":
            continue
        for name, value in [*vars(module).items()]:
            if value is target:
                levels = module.__name__.count(".") + (Path(file).name == "__init__.py")
                return f"{module.__name__}.{name}", Path(file).resolve().parents[levels]
    raise ValueError(f"no module names {target!r}: give its name, as in sandbox('app.function')")
