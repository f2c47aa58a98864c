"""The lifespan of an ASGI application: once a sandbox, in a supervised actor (ASGI: lifespan)."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

import attrs
import outcome
import trio
from trio.lowlevel import spawn_system_task

from ...actors import Actor, ExitReason, logs
from .exchange import new_event

if TYPE_CHECKING:
    from ..handlers.asyncio_handlers import HandlerLoop

logger = logs.logger("okibi")

# The lifespan must work, may be missing, or is not run.
LifespanMode = Literal["on", "auto", "off"]
State = dict[str, Any]
Hook = Callable[[State], Awaitable[object]]


class StartupFailed(Exception):
    """The application has refused to start: it sent `lifespan.startup.failed`."""


class NoLifespan(Exception):
    """The application has no lifespan: it returned, raised or sent something else at its start."""


class LifespanOwner(Protocol):
    """The adapter, as its lifespan sees it."""

    @property
    def app(self) -> Callable[..., Awaitable[object]]: ...
    @property
    def lifespan(self) -> LifespanMode: ...
    @property
    def before_snapshot(self) -> Hook | None: ...
    @property
    def after_restore(self) -> Hook | None: ...
    @property
    def sandbox(self) -> "SandboxState": ...


@attrs.define(eq=False)
class SandboxState:
    """What all events of a sandbox share, beyond restarts of the actor.

    Args:
        lifespan_state: the state that the lifespan has filled; None without a lifespan.
        scope: of the lifespan that runs.
    """

    lifespan_state: State | None = None
    scope: trio.CancelScope | None = None


class LifespanMessages:
    """What the application receives and sends in its lifespan.

    Args:
        started: called when the application has started.
    """

    def __init__(self, started: Callable[[], None]) -> None:
        self.has_started = False
        self.failure: StartupFailed | None = None
        self._started = started
        self._asked = False
        self._stop: asyncio.Event | trio.Event | None = None
        self._stopped = False

    async def receive(self) -> dict[str, Any]:
        """Return the message to start; after that, when the tree stops, the message to stop."""
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        if not self._stopped:
            self._stop = new_event()
            await self._stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of the application.

        Raises:
            NoLifespan: the message does not belong to a lifespan.
        """
        match message["type"]:
            case "lifespan.startup.complete":
                self.has_started = True
                self._started()
            case "lifespan.startup.failed":
                text = message.get("message") or "the application did not say why"
                self.failure = StartupFailed(text)
            case "lifespan.shutdown.complete":
                pass
            case "lifespan.shutdown.failed":
                logger.error("the application did not stop: %s", message.get("message", ""))
            case other:
                raise NoLifespan(f"the application sent {other!r:.80}")

    async def stop(self) -> None:
        """Have the application stop. Runs where the application runs."""
        self._stopped = True
        if self._stop is not None:
            self._stop.set()


class Lifespan(Actor):
    """Runs the application's lifespan, and crashes when the lifespan does.

    The lifespan runs in a task of its own, because the end of an actor cancels the actor's task.
    The application must receive `lifespan.shutdown` and clean up without being cancelled.

    Args:
        owner: the adapter.
        loop: the asyncio loop; None to run on trio.
    """

    def __init__(self, owner: LifespanOwner, loop: "HandlerLoop | None") -> None:
        self._owner = owner
        self._loop = loop
        self._scope = trio.CancelScope()
        self._changed = trio.Event()
        self._ended: outcome.Outcome[None] | None = None
        self._messages = LifespanMessages(self._note_started)
        self._state: State = {}

    async def live(self, started: Callable[[], None]) -> None:
        sandbox, messages = self._owner.sandbox, self._messages
        if sandbox.scope is not None:
            # The actor before was killed, and its lifespan runs on.
            sandbox.scope.cancel()
        sandbox.scope = self._scope
        spawn_system_task(self._run_beside)
        await self._changed.wait()
        sandbox.lifespan_state = self._state if messages.has_started else None
        if not messages.has_started and (self._owner.lifespan == "on" or messages.failure):
            self._raise_end()
        started()
        if messages.has_started:
            while self._ended is None:
                self._changed = trio.Event()
                await self._changed.wait()
            self._raise_end()
        elif self._owner.before_snapshot or self._owner.after_restore:
            await trio.sleep_forever()

    async def terminate(self, reason: ExitReason) -> None:
        try:
            await self._run(self._messages.stop)
            while self._ended is None:
                self._changed = trio.Event()
                await self._changed.wait()
        finally:
            self._scope.cancel()

    async def before_snapshot(self) -> None:
        """Call the application's hook of this name (SnapStart)."""
        await self._call_hook(self._owner.before_snapshot)

    async def after_restore(self) -> None:
        """Call the application's hook of this name (SnapStart)."""
        await self._call_hook(self._owner.after_restore)

    async def _call_hook(self, hook: Hook | None) -> None:
        if hook is not None:
            await self._run(partial(hook, self._state))

    async def _run(self, function: Callable[[], Awaitable[object]]) -> None:
        if self._loop is None:
            await function()
        else:
            await self._loop.run_in_background(function)

    async def _run_beside(self) -> None:
        with self._scope:
            self._ended = await outcome.acapture(self._run, self._call_application)
        self._changed.set()

    async def _call_application(self) -> object:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        messages = self._messages
        return await self._owner.app(scope, messages.receive, messages.send)

    def _note_started(self) -> None:
        if self._loop is not None:
            self._loop.keep_tasks()
        self._changed.set()

    def _raise_end(self) -> NoReturn:
        error = self._ended.error if isinstance(self._ended, outcome.Error) else None
        if error is not None:
            # Frameworks that raise it send its whole traceback as the text of the failure.
            raise error
        if self._messages.failure is not None:
            raise self._messages.failure
        when = "while the sandbox served" if self._messages.has_started else "before it had started"
        raise NoLifespan(f"the lifespan of the application ended {when}")
