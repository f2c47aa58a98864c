"""The supervision tree of a function, as data.

    function (one_for_one)
    ├─ asyncio      if requested: keeps the loop for asyncio code open; first, for the children
    ├─ applications if listed: what the children and the handlers need
    ├─ children     the user's children, supervised as the Function says; before the handlers
    └─ lambda (one_for_one)
       ├─ clock           notices that the sandbox was frozen
       ├─ application     of a web application: runs its lifespan
       ├─ responder-0 …   one per lane
       ├─ workers (one_for_one)
       │  └─ worker-0 …
       ├─ dispatcher
       ├─ extension       unless turned off; registers before the first GET /next
       ├─ snapstart       in a SnapStart sandbox, until the restore
       └─ poller-0 …      one per lane; last: the first GET /next leaves when all else has started

Start order is dependency order; stopping in reverse order drains the tree. The strategy is
one_for_one: the truth is in the ledger, and no actor depends on another's incarnation. Rejected:
rest_for_one, because restarting the workers with the dispatcher would lose good results.

With several lanes, responders and pollers have supervisors, `responders` and `pollers`: one lane's
failures must not exhaust the restart intensity of all. These supervisors, and `workers`, restart
with a backoff that grows, and never give up. Instead, the ledger ends the process: when no lane
serves, or an event has waited for a worker in vain. The backoff starts over for a worker that was
abandoned at a deadline; it is replaced at once.

With a single lane a crashed actor is restarted at once, without backoff.
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..supervisors import INFINITY, Child, Restart, SupervisorSpec
from .codec.json import (
    UNTYPED,
    encode_async_def_result,
    encode_official_escaped,
    encode_official_unescaped,
)
from .deadlines.interrupt import DeadlineInterrupt
from .errors.error_response import handler_error
from .handlers.adapter import Adapter
from .handlers.function import Function, children_backoff
from .handlers.handler import (
    AsyncHandler,
    Instance,
    PlainHandler,
    event_type,
    is_async,
    is_handler,
    streams,
)
from .in_flight.lane import Lane
from .in_flight.ledger import DISPATCHER, Ledger
from .protocol.outcome import Outcome
from .serving.busy_poll import BusyPoll
from .serving.dispatcher import Dispatcher
from .serving.extension import ExtensionConnection, InternalExtension
from .serving.freeze_detector import FreezeDetector
from .serving.poller import Poller
from .serving.responder import Responder
from .serving.worker import Worker
from .settings import Settings

if TYPE_CHECKING:
    from ..supervisors import Backoff
    from .handlers import asyncio_handlers as aio
    from .protocol.transport import Connect
    from .serving.telemetry import Telemetry

# Seconds for each actor to stop. The platform leaves 300 ms from SIGTERM to SIGKILL.
GRACE = 0.05
WORKER_GRACE = 0.1
# Restart intensity of okibi's actors: beyond it, a cold start is the better cure.
INTENSITY, PERIOD = 5, 5.0
# For several workers: a worker that has run longer than this restarts at once. An abandoned worker
# has, because Lambda's shortest time-out is 1 s.
WORKERS_PERIOD = 0.5


class ServedFunction:
    """A function with all that its workers need.

    Args:
        function: the function to serve.
        settings: the settings from the environment.
        ledger: the lanes and the ready workers.
        interrupt: times out a plain `def` handler on the main thread.
        error_outcome: makes the outcome of a handler's exception from a request id.
    """

    def __init__(
        self,
        function: Function,
        settings: Settings,
        ledger: Ledger,
        interrupt: DeadlineInterrupt,
        error_outcome: Callable[[BaseException, str], Outcome] = handler_error,
    ) -> None:
        self.function = function
        self.settings = settings
        self.ledger = ledger
        self.interrupt = interrupt
        self.error_outcome = error_outcome
        handler: Any = function.handler.handler
        self.adapter: Adapter | None = handler if isinstance(handler, Adapter) else None
        # What the workers call.
        self.target: Any = handler if self.adapter is None else self.adapter.handler()
        self.telemetry: Telemetry | None = None
        if "okibi.telemetry" in sys.modules:
            from .serving import telemetry

            ledger.telemetry = self.telemetry = telemetry.Telemetry(ledger, settings)
        self.loop: aio.HandlerLoop | None = None
        if choose_loop(function.loop, settings.loop, self.adapter) == "asyncio":
            from .handlers.asyncio_handlers import HandlerLoop

            self.loop = HandlerLoop(len(ledger.lanes))

    def make_worker(self) -> Worker:
        """Create a worker. The factory of the workers' child specs."""
        target = self.target
        create = self._instance_factory(target)
        encode_result: Callable[[object], Outcome]
        if is_handler(target):
            from .codec.typed_json import decoder_for, encode_handler_result

            stateful, decoder = True, decoder_for(event_type(target))
            encode_result = encode_handler_result
        else:
            stateful, decoder = False, UNTYPED
            # The official client has no `async def` handlers; only `def` must match its escapes.
            ascii_only = self.settings.ascii_only
            encode_result = encode_official_escaped if ascii_only else encode_official_unescaped
            if is_async(target):
                encode_result = encode_async_def_result
        if streams(target):
            from .handlers import streaming_handlers

            encode_result = streaming_handlers.refuse_encoding
        kind: type[Worker] = Worker
        if self.adapter is not None:
            from .serving.adapter_worker import AdapterWorker

            kind = AdapterWorker
        error_outcome = self.error_outcome
        if self.telemetry is not None:
            from .serving.telemetry import with_telemetry

            kind = with_telemetry(kind)
            error_outcome = partial(self.telemetry.note_error, error_outcome)
        if "okibi.entities" in sys.modules:
            from .serving.ring_worker import taking_rings

            kind = taking_rings(kind)
        return kind(
            self.ledger, self.settings, create, decoder, stateful, encode_result,
            self._plain_handler_for, self.loop, error_outcome,
        )  # fmt: skip

    def _instance_factory(self, target: Any) -> Callable[[], Instance]:
        if streams(target):
            from .handlers.streaming_handlers import instance_factory

            return instance_factory(target, self.ledger.count_abandoned, self.loop)
        interrupt, abandon = self._interrupt_of_plain(), self.ledger.count_abandoned
        on_trio = self.adapter is not None and self.adapter.on_trio
        if self.loop is not None and not on_trio:
            from .handlers import asyncio_handlers

            return asyncio_handlers.instance_factory(target, interrupt, abandon, self.loop)
        if is_handler(target):
            return target  # type: ignore[no-any-return]
        if is_async(target):
            return lambda: AsyncHandler(target)
        return lambda: PlainHandler(target, interrupt, abandon)

    def _interrupt_of_plain(self) -> DeadlineInterrupt | None:
        """Return what interrupts a plain `def`; None if it runs in a thread.

        Inline if no other actor needs the loop: module-level connections, `signal` and
        `asyncio.run` work as in the official client, and a thread would cost more than the event.
        """
        inline = len(self.ledger.lanes) == 1 and not self.function.has_actors
        return self.interrupt if inline else None

    def _plain_handler_for(self, instance: Instance) -> PlainHandler:
        """Return the handler that runs follow-ups beside an instance: itself, or another one."""
        target = self.target
        if isinstance(instance, PlainHandler) and not streams(target):
            return instance
        interrupt, abandon = self._interrupt_of_plain(), self.ledger.count_abandoned
        plain: PlainHandler
        if self.loop is None:
            plain = PlainHandler(target, interrupt, abandon)
        else:
            from .handlers.asyncio_handlers import AsyncioPlainHandler

            plain = AsyncioPlainHandler(target, interrupt, abandon, self.loop)
        plain.nursery = instance.nursery
        return plain

    def worker_count(self) -> int:
        """Return the number of workers: the function's `count`, or one per lane and a spare.

        At least one per lane: the platform sends an event to each lane, and an event without a
        worker would wait until its deadline.
        """
        lanes = len(self.ledger.lanes)
        return max(self.function.handler.count or lanes + 1, lanes)


def choose_loop(
    of_function: str | None, of_environment: str | None, adapter: Adapter | None
) -> str:
    """Return the loop on which async handlers run: `trio` or `asyncio`.

    Args:
        of_function: `Function(loop=...)`.
        of_environment: `OKIBI_LOOP`; None if it is not set.
        adapter: the adapter, if one takes the place of a handler.
    """
    asked = adapter.loop if adapter is not None else None
    default = adapter.default_loop if adapter is not None else "trio"
    return asked or of_function or of_environment or default


def build_tree(
    served: ServedFunction, connect: "Connect", extension: ExtensionConnection | None = None
) -> SupervisorSpec:
    """Build the spec of the root supervisor.

    Args:
        served: the function to serve.
        connect: opens a connection to the Runtime API.
        extension: the extension's connection; None for no extension.
    """
    create = partial(Dispatcher, served.ledger)
    dispatcher = Child(create, name=DISPATCHER, id="dispatcher", shutdown=GRACE)
    runtime = SupervisorSpec(
        [
            Child(partial(FreezeDetector, served.ledger), id="clock", shutdown=GRACE),
            *_application(served),
            *_responders(served.ledger),
            _workers(served),
            dispatcher,
            *_extension(extension),
            *_snapstart(served, connect, extension),
            *_pollers(served, connect),
        ],
        intensity=INTENSITY,
        period=PERIOD,
    )
    supervision = served.function.supervision
    users = [Child(supervision, id="children")] if supervision.children else []
    return SupervisorSpec(
        [*_asyncio(served), *_applications(served), *users, Child(runtime, id="lambda")],
        intensity=1,
    )


def _asyncio(served: ServedFunction) -> list[Child[Any]]:
    if served.loop is None:
        return []
    from ..asyncio_loop.loop_actor import LoopActor

    # Stopped last: handlers and children run their `terminate` on this loop.
    keeper = Child(partial(LoopActor, served.loop), id="loop", shutdown=GRACE)
    return [Child(SupervisorSpec([keeper], intensity=INTENSITY, period=PERIOD), id="asyncio")]


def _applications(served: ServedFunction) -> list[Child[Any]]:
    if not served.function.applications:
        return []
    from ..supervisors import Applications

    return [Child(Applications(served.function.applications))]


def _application(served: ServedFunction) -> list[Child[Any]]:
    """Return the supervisor of an adapter's own actors, which restart as a Function's children."""
    children = (
        []
        if served.adapter is None
        else served.adapter.children(served.loop, served.ledger.count_abandoned)
    )
    if not children:
        return []
    spec = SupervisorSpec(children, intensity=INFINITY, backoff=children_backoff())
    return [Child(spec, id="application")]


def _responders(ledger: Ledger) -> list[Child[Any]]:
    children = [
        Child(
            partial(_responder, ledger, lane),
            name=lane.responder_name,
            id=f"responder-{n}",
            shutdown=GRACE,
        )
        for n, lane in enumerate(ledger.lanes)
    ]
    return _per_lane("responders", children)


def _responder(ledger: Ledger, lane: Lane) -> Responder:
    ledger.count_start(lane)
    return Responder(lane, ledger.fail_interrupted_step)


def _workers(served: ServedFunction) -> Child[Any]:
    ledger = served.ledger
    ledger.worker_count = served.worker_count()
    children = [
        Child(served.make_worker, id=f"worker-{n}", shutdown=WORKER_GRACE)
        for n in range(ledger.worker_count)
    ]
    if len(ledger.lanes) > 1:
        return Child(_with_backoff(children, WORKERS_PERIOD), id="workers")
    return Child(SupervisorSpec(children, intensity=INTENSITY, period=PERIOD), id="workers")


def _extension(connection: ExtensionConnection | None) -> list[Child[Any]]:
    if connection is None:
        return []
    return [Child(partial(InternalExtension, connection), id="extension", shutdown=GRACE)]


def _snapstart(
    served: ServedFunction, connect: "Connect", extension: ExtensionConnection | None
) -> list[Child[Any]]:
    """Return the actor that takes the tree through a snapshot, before the first GET /next."""
    if not served.settings.snap_start:
        return []
    from .serving.snapstart import SnapStart

    host = served.settings.api.encode()
    return [
        Child(
            partial(SnapStart, host, connect, list[None](), extension),
            id="snapstart",
            restart=Restart.TEMPORARY,
            shutdown=GRACE,
            # Lambda may store a snapshot for weeks; `init` lasts as long.
            start_timeout=math.inf,
        )
    ]


def _pollers(served: ServedFunction, connect: "Connect") -> list[Child[Any]]:
    children = [
        Child(partial(_poller, served, lane, connect), id=f"poller-{n}", shutdown=GRACE)
        for n, lane in enumerate(served.ledger.lanes)
    ]
    return _per_lane("pollers", children)


def _poller(served: ServedFunction, lane: Lane, connect: "Connect") -> Poller:
    ledger, limit = served.ledger, served.settings.busy_wait
    ledger.count_start(lane)
    alone = len(ledger.lanes) == 1
    return Poller(ledger, lane, connect, BusyPoll(limit if alone else 0.0))


def _per_lane(name: str, children: list[Child[Any]]) -> list[Child[Any]]:
    """Return a single child as it is; several children under a supervisor."""
    return children if len(children) == 1 else [Child(_with_backoff(children), id=name)]


def lane_backoff() -> "Backoff":
    """Delays of 0.02, 0.1, 0.5, 2.5 and then 5 s."""
    # Imported here: a single lane has none.
    from ..supervisors import Backoff

    return Backoff(first=0.02, maximum=PERIOD, factor=5.0)


def _with_backoff(children: list[Child[Any]], period: float = PERIOD) -> SupervisorSpec:
    """Return a supervisor whose children restart with backoff, and that never gives up."""
    return SupervisorSpec(children, intensity=INFINITY, period=period, backoff=lane_backoff())
