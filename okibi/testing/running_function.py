"""Run a function's whole tree in the trio run of a test."""

import math
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
import trio
import trio.testing
from trio.testing import MockClock

from ..actors import Ref
from ..actors.life import Phase
from ..local.platform.invocation import Invocation, check_headers, new_request_id
from ..local.platform.streaming import ResponseStream
from ..local.settings import FunctionSettings
from ..runtime.handlers.function import Function, HandlerTarget, Workers
from ..runtime.startup.find_function import make_function
from ..supervisors import Snapshot, snapshot
from .actors_in_tree import ActorInTree, find_actor, find_place
from .function_engine import FunctionEngine
from .function_error import FunctionError, decode_result, encode_event
from .handler_context import encode_client_context
from .next_crash import Method, NextCrash, check_message

# Seconds between two looks of `wait_restarted`.
LOOK_EVERY = 0.01


class RunningFunction:
    """A function that runs in the test. Created by `running`."""

    def __init__(self, engine: FunctionEngine) -> None:
        self._engine = engine

    # -- invocations

    async def invoke(
        self,
        event: object = None,
        *,
        timeout: float | None = None,
        client_context: Mapping[str, Any] | None = None,
        tenant_id: str = "",
        request_id: str | None = None,
    ) -> Any:
        """Invoke the function and return the decoded result (Lambda Invoke).

        While as many events as the function's `concurrency` are in flight, the next one waits.
        Cancelling the wait does not stop the handler, as on Lambda.

        Args:
            event: the event, encoded as JSON; bytes are sent unchanged.
            timeout: seconds that the invocation may take. Default: the function's.
            client_context: the client context, as the mobile SDK sends it.
            tenant_id: the tenant, for a function with tenant isolation.
            request_id: the id of the invocation. Default: a new one.

        Returns:
            The result, decoded from JSON; bytes if the result is no JSON.

        Raises:
            FunctionTimedOut: the handler ran out of time.
            FunctionError: the handler raised; its exception is the `__cause__`. Or the event did
                not fit the handler's type, or the function has ended.
            TypeError: JSON cannot represent the event.
            ValueError: `timeout` is invalid, or a value has a character that an HTTP header cannot
                carry.
        """
        __tracebackhide__ = True  # pytest shows the test's own line
        engine = self._engine
        invocation = self._prepare(event, timeout, client_context, tenant_id, request_id)
        outcome = await engine.run_invocation(invocation)
        try:
            return decode_result(invocation.result(), outcome.content_type)
        except FunctionError as error:
            cause = engine.errors.pop(invocation.request_id, None)
            if engine.end is not None:
                engine.end_was_raised = True
                cause = cause or engine.end.__cause__
            raise error from cause

    def stream(
        self,
        event: object = None,
        *,
        timeout: float | None = None,
        client_context: Mapping[str, Any] | None = None,
        tenant_id: str = "",
        request_id: str | None = None,
    ) -> ResponseStream:
        """Invoke the function and read the response while the handler writes it.

            async with app.stream({"count": 3}) as response:
                pieces = [piece async for piece in response]
            assert (await response.result()).error_type is None

        Args:
            event, timeout, client_context, tenant_id, request_id: the arguments of `invoke`.

        Raises:
            FunctionError: the function has ended.
            TypeError, ValueError: an argument is invalid (see `invoke`).
        """
        invocation = self._prepare(event, timeout, client_context, tenant_id, request_id)
        response = ResponseStream(invocation)
        self._engine.start_invocation(invocation, trio.Event())
        return response

    def _prepare(
        self,
        event: object,
        timeout: float | None,
        client_context: Mapping[str, Any] | None,
        tenant_id: str,
        request_id: str | None,
    ) -> Invocation:
        settings = self._engine.settings
        if timeout is not None:
            settings = attrs.evolve(settings, timeout=timeout)
        invocation = Invocation(
            encode_event(event),
            settings.timeout,
            client_context=encode_client_context(client_context),
            tenant_id=tenant_id,
            request_id=request_id or new_request_id(),
        )
        check_headers(invocation)
        return invocation

    # -- the tree

    @property
    def root(self) -> Ref[Any]:
        """The root of the whole tree, the runtime's own actors included."""
        return Ref(self._engine.root)

    def tree(self) -> Snapshot:
        """Take a snapshot of the function's children. `print` draws it; `==` compares two.

        Raises:
            LookupError: the function has no children, or they do not run.
        """
        return snapshot(Ref(find_actor(self._engine.root, "/function/children")))

    def restarts(self, actor: ActorInTree) -> int:
        """Return the number of times a child was restarted since its supervisor started.

        Args:
            actor: the child's Name, its Ref, or its path: `visits`, `children/visits`.

        Raises:
            LookupError: the tree has no such child.
        """
        return find_place(self._engine.root, actor).restarts

    async def wait_restarted(
        self, actor: ActorInTree, times: int = 1, *, within: float = 60.0
    ) -> Ref[Any]:
        """Wait until a child has been restarted and has started.

        Args:
            actor: the child's Name, its Ref, or its path: `visits`, `children/visits`.
            times: the number of restarts to wait for, since the child's supervisor started.
            within: seconds to wait.

        Returns:
            The address of the new incarnation.

        Raises:
            LookupError: the tree has no such child.
            TimeoutError: the child was not restarted in time.
        """
        until = trio.current_time() + within
        while True:
            found = find_place(self._engine.root, actor)
            process = found.place.process
            if found.restarts >= times and process and process.life.phase is Phase.RUNNING:
                return Ref(process)
            if trio.current_time() >= until:
                raise TimeoutError(
                    f"{found.path} was not restarted {times} x and running within {within:g} s; "
                    f"the tree:\n{snapshot(self.root)}"
                )
            await trio.sleep(LOOK_EVERY)

    async def kill(self, actor: ActorInTree) -> None:
        """Kill an actor, and wait until it is dead (OTP: `exit(Pid, kill)`).

        Its supervisor then restarts it: wait with `wait_restarted`, or call `NAME.waiting(5)`.

        Args:
            actor: the actor's Name, its Ref, or its path: `visits`, `children/visits`.

        Raises:
            LookupError: the tree has no such actor, or it does not run now.
        """
        process = find_actor(self._engine.root, actor)
        process.kill()
        await process.wait_dead()

    def crash_next(self, actor: ActorInTree | Method, error: BaseException) -> None:
        """Let the next call or cast of a server raise an error, in place of its method.

            app.crash_next(Visits.visit, OSError("disk full"))

        Args:
            actor: a method, for its next call at any server; or a server's Name, Ref or path, for
                the next call of any method there.
            error: the exception that the method raises. A Refusal reaches the caller and leaves
                the server running; any other error crashes the server.

        Raises:
            LookupError: the tree has no such server.
            TypeError: no server has such a message.
        """
        if callable(actor):
            check_message(actor)
            crash = NextCrash(error, actor, None)
        else:
            crash = NextCrash(error, None, find_place(self._engine.root, actor).path)
        self._engine.crashes.add(crash)

    # -- time

    async def freeze(self, seconds: float) -> None:
        """Freeze the sandbox, as Lambda does between two events, and thaw it.

        Functions that run after a response end first, since Lambda freezes a sandbox that asks for
        the next event. The clocks jump. Timers that are due fire at once; actors that monitor
        FREEZES are notified. Returns when all of them wait again.

        Args:
            seconds: the length of the freeze in seconds.

        Raises:
            RuntimeError: an event is in flight, or the clock is real.
            ValueError: `seconds` is no finite number >= 0.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds must be a finite number >= 0, got {seconds!r}")
        clock = trio.lowlevel.current_clock()
        if not isinstance(clock, MockClock):
            message = "freeze needs virtual time: mark the test with @virtual_time"
            raise RuntimeError(message)  # noqa: TRY004, not an argument's type
        await trio.testing.wait_all_tasks_blocked()
        # The deadline of its event ends the loop.
        while self._engine.follows_up():  # noqa: ASYNC110
            await trio.sleep(0.001)
        if self._engine.ledger.in_flight():
            raise RuntimeError("freeze while an event is in flight: Lambda freezes between events")
        clock.jump(seconds)
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def running(
    function: Function | Workers | HandlerTarget,
    *,
    timeout: float = 3.0,
    concurrency: int = 1,
    name: str = "function",
    memory: int = 128,
) -> AsyncGenerator[RunningFunction]:
    """Run a function's whole tree in this trio run, until the block ends.

        @virtual_time
        async def test_bob_is_greeted() -> None:
            async with running(function) as app:
                assert await app.invoke({"name": "bob"}) == "hello bob"

    Supervisors, workers, dispatcher, handler instances and time limits are the real ones. The
    Runtime API is in memory. The test's process never ends: where the runtime would end its
    process, the function ends, and each further invocation raises FunctionError.

    Args:
        function: a Function, a Handler class, any callable that is a handler, or a web application.
        timeout: seconds that an invocation may take. okibi answers 0.1 s earlier.
        concurrency: the maximum number of events in flight, as on Lambda Managed Instances.
        name: the name of the function.
        memory: the memory of the function in MB, for the context object.

    Raises:
        StartError: an actor did not start; its error is the `__cause__`.
        FunctionError: the function ended, and no invocation has raised that.
        SpecError: `function` is no handler.
        RuntimeError: another function runs in this process, or no trio runs.
        ValueError: an argument is invalid; the message names it.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("running needs trio: mark the test with @virtual_time")
    settings = FunctionSettings(
        "app.handler",
        name,
        timeout=timeout,
        memory=memory,
        max_concurrency=None if concurrency == 1 else concurrency,
    )
    engine = FunctionEngine(make_function(function), settings)
    failure: BaseException | None = None
    with _run_alone(), engine.prepare():
        async with trio.open_nursery() as nursery:
            try:
                await engine.start(nursery)
                yield RunningFunction(engine)
            except trio.Cancelled:
                raise
            except BaseException as error:
                # Raised below: the nursery would put it into a group.
                failure = error
            finally:
                with trio.CancelScope(shield=True):
                    await engine.stop()
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if engine.end is not None and not engine.end_was_raised:
        raise engine.end


# A function changes what belongs to the process: a signal handler, an environment variable, clocks.
_runs_in: tuple[threading.Thread, trio.lowlevel.TrioToken] | None = None


@contextmanager
def _run_alone() -> Generator[None]:
    global _runs_in
    thread, run = threading.current_thread(), trio.lowlevel.current_trio_token()
    if _runs_in is not None:
        other_thread, other_run = _runs_in
        # Another run of this thread has crashed before the end of its block.
        if other_run is run or (other_thread is not thread and other_thread.is_alive()):
            raise RuntimeError(
                "another function runs in this process: end its block of `running` first"
            )
    _runs_in = thread, run
    try:
        yield
    finally:
        _runs_in = None
