"""The tree of a function, as data.

    function (one_for_one)
    ├─ children     the user's own, supervised as the Function says; first, so handlers find them
    └─ lambda (one_for_one)
       ├─ asyncio         only if asked for: keeps the loop that asyncio's handlers run on
       ├─ clock           notices that the sandbox was frozen
       ├─ responder-0 …   one a lane
       ├─ workers (one_for_one)
       │  └─ worker-0 …
       ├─ dispatcher
       ├─ extension       unless it is turned off; its registration must precede the first GET /next
       ├─ snapstart       in a SnapStart sandbox, until it is restored
       └─ poller-0 …      one a lane; last, so the first GET /next leaves when all else stands

Where many events may be in flight, responders and pollers stand under a supervisor each,
`responders` and `pollers`: one lane's failures must not use up what all of them may do wrong. A
lane's actor is restarted there with a pause that grows, so often that even all lanes at once never
exceed that supervisor's intensity; whether enough has failed is the ledger's to say, which ends the
process once no lane serves. So it is with the workers there, whose new instances may fail in their
`init` for a while: the others are at events. One that was abandoned at a deadline has a successor
at once. With one lane nothing is to be kept from it, and it is restarted at once.

Start order is dependency order, so stopping in reverse is a drain. one_for_one and not
rest_for_one: with the truth in the ledgers no actor depends on another's incarnation, and to
restart the workers with the dispatcher would turn good results into errors.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..supervisors import Backoff, Child, Restart, SupervisorSpec
from .codec.json import (
    decoder_for,
    encode_async_def_result,
    encode_handler_result,
    encode_official_escaped,
    encode_official_unescaped,
)
from .deadlines.interrupt import Alarm
from .handlers.function import Function
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
from .protocol.transport import Connect
from .serving.busy_poll import BusyPoll
from .serving.dispatcher import Dispatcher
from .serving.extension import Extension, ExtensionConnection
from .serving.freeze_detector import Clock
from .serving.poller import Poller
from .serving.responder import Responder
from .serving.worker import Worker
from .settings import Settings

if TYPE_CHECKING:
    from .handlers.asyncio_loop import loop as aio

# The platform leaves 300 ms from SIGTERM to SIGKILL, for the whole tree.
GRACE = 0.05
WORKER_GRACE = 0.1
# What okibi's own actors may do wrong before a cold start is the better cure.
INTENSITY, PERIOD = 5, 5.0
# Pauses of 0.02, 0.1, 0.5, 2.5 and then 5 s: at most INTENSITY restarts a PERIOD, the first, which
# is counted when its pause begins, among them.
BACKOFF = Backoff(first=0.02, maximum=PERIOD, factor=5.0)
# Of many workers. One that was abandoned at a deadline has failed in nothing, and its successor is
# needed at once: it has run for longer, since a time-out is a second at least.
WORKERS_PERIOD = 0.5


class ServedFunction:
    """How the handler of a function is run: what a worker needs to know.

    Args:
        function: what is served.
        settings: the environment.
        ledger: the lanes.
        alarm: ends a plain handler on the main thread.
    """

    def __init__(
        self, function: Function, settings: Settings, ledger: Ledger, alarm: Alarm
    ) -> None:
        self.function = function
        self.settings = settings
        self.ledger = ledger
        self.alarm = alarm
        self.loop: aio.AsyncioLoop | None = None
        if (function.loop or settings.loop) == "asyncio":
            from .handlers.asyncio_loop.loop import AsyncioLoop

            loop = self.loop = AsyncioLoop(len(ledger.lanes))
            ledger.asyncio_stuck = lambda: loop.stuck

    def worker(self) -> Worker:
        """Make a worker: the factory of its child spec."""
        target: Any = self.function.handler.handler
        instances = self._instances(target)
        say: Callable[[object], Outcome]
        if is_handler(target):
            stateful, decoder, say = True, decoder_for(event_type(target)), encode_handler_result
        else:
            stateful, decoder = False, decoder_for(Any)
            say = encode_official_escaped if self.settings.escaped else encode_official_unescaped
            if is_async(target):
                say = encode_async_def_result
        if streams(target):
            from .handlers import streaming_handlers

            say = streaming_handlers.refuse_encoding
        return Worker(self.ledger, self.settings, instances, decoder, stateful, say, self.loop)

    def _instances(self, target: Any) -> Callable[[], Instance]:
        if streams(target):
            from .handlers.streaming_handlers import instance_factory

            return instance_factory(target, self.ledger.count_abandoned, self.loop)
        # Inline while nobody else needs the loop: module-level connections, `signal` and
        # `asyncio.run` work as in the official client, and a thread would cost more than the rest.
        inline = len(self.ledger.lanes) == 1 and not self.function.children
        alarm, abandon = self.alarm if inline else None, self.ledger.count_abandoned
        if self.loop is not None:
            from .handlers.asyncio_loop import asyncio_handlers

            return asyncio_handlers.instance_factory(target, alarm, abandon, self.loop)
        if is_handler(target):
            return target  # type: ignore[no-any-return]
        if is_async(target):
            return lambda: AsyncHandler(target)
        return lambda: PlainHandler(target, alarm, abandon)

    def count(self) -> int:
        """How many workers: as the function says, else one a lane and a spare.

        Never less than one a lane: the platform hands out an event for each, and one without a
        worker would only wait for its deadline.
        """
        lanes = len(self.ledger.lanes)
        return max(self.function.handler.count or lanes + 1, lanes)


def build_tree(
    serving: ServedFunction, connect: Connect, registration: ExtensionConnection | None = None
) -> SupervisorSpec:
    """Everything that lives while a function is served.

    Args:
        serving: how its handler is run.
        connect: makes a connection to the Runtime API.
        registration: the extension's connection; None to be none.
    """
    dispatch = partial(Dispatcher, serving.ledger)
    dispatcher = Child(dispatch, name=DISPATCHER, id="dispatcher", shutdown=GRACE)
    served = SupervisorSpec(
        [
            *_asyncio(serving),
            Child(partial(Clock, serving.ledger), id="clock", shutdown=GRACE),
            *_responders(serving.ledger),
            _workers(serving),
            dispatcher,
            *_extension(registration),
            *_snapstart(serving, connect),
            *_pollers(serving, connect),
        ],
        intensity=INTENSITY,
        period=PERIOD,
    )
    children = serving.function.supervision
    users = [Child(children, id="children")] if children.children else []
    return SupervisorSpec([*users, Child(served, id="lambda")], intensity=1)


def _asyncio(serving: ServedFunction) -> list[Child[Any]]:
    if serving.loop is None:
        return []
    from .handlers.asyncio_loop.loop_actor import LoopActor

    # Stopped last: handlers are cancelled on it, and run their `terminate` there.
    return [Child(partial(LoopActor, serving.loop), id="asyncio", shutdown=GRACE)]


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
    return _lanes("responders", children)


def _responder(ledger: Ledger, lane: Lane) -> Responder:
    ledger.count_start(lane)
    return Responder(lane, ledger.fail_interrupted_step)


def _workers(serving: ServedFunction) -> Child[Any]:
    ledger = serving.ledger
    ledger.worker_count = serving.count()
    children = [
        Child(partial(_worker, serving), id=f"worker-{n}", shutdown=WORKER_GRACE)
        for n in range(ledger.worker_count)
    ]
    if len(ledger.lanes) > 1:
        return Child(_apart(children, WORKERS_PERIOD), id="workers")
    return Child(SupervisorSpec(children, intensity=INTENSITY, period=PERIOD), id="workers")


def _worker(serving: ServedFunction) -> Worker:
    serving.ledger.count_worker_start()
    return serving.worker()


def _extension(registration: ExtensionConnection | None) -> list[Child[Any]]:
    if registration is None:
        return []
    return [Child(partial(Extension, registration), id="extension", shutdown=GRACE)]


def _snapstart(serving: ServedFunction, connect: Connect) -> list[Child[Any]]:
    """What stands between all that serves and the first GET /next, where a snapshot is taken."""
    if not serving.settings.snap_start:
        return []
    from .serving.snapstart import SnapStart

    host = serving.settings.api.encode()
    return [
        Child(
            partial(SnapStart, host, connect, list[None]()),
            id="snapstart",
            restart=Restart.TEMPORARY,
            shutdown=GRACE,
            # A snapshot may lie for weeks between the request and its answer.
            start_timeout=math.inf,
        )
    ]


def _pollers(serving: ServedFunction, connect: Connect) -> list[Child[Any]]:
    children = [
        Child(partial(_poller, serving, lane, connect), id=f"poller-{n}", shutdown=GRACE)
        for n, lane in enumerate(serving.ledger.lanes)
    ]
    return _lanes("pollers", children)


def _poller(serving: ServedFunction, lane: Lane, connect: Connect) -> Poller:
    ledger, limit = serving.ledger, serving.settings.busy_wait
    ledger.count_start(lane)
    alone = len(ledger.lanes) == 1
    return Poller(ledger, lane, connect, BusyPoll(limit if alone else 0.0))


def _lanes(name: str, children: list[Child[Any]]) -> list[Child[Any]]:
    """One kind of the lanes' actors: the only one as it is, many under a supervisor of theirs."""
    return children if len(children) == 1 else [Child(_apart(children), id=name)]


def _apart(children: list[Child[Any]], period: float = PERIOD) -> SupervisorSpec:
    """Children of which none's failures are to be another's."""
    return SupervisorSpec(
        children, intensity=INTENSITY * len(children), period=period, backoff=BACKOFF
    )
