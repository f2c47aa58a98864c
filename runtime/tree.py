"""The tree of a function, as data.

    function (one_for_one)
    ├─ children     the user's own, supervised as the Function says; first, so handlers find them
    └─ lambda (one_for_one)
       ├─ responder-0 …   one a lane
       ├─ workers (one_for_one)
       │  └─ worker-0 …
       ├─ dispatcher
       └─ poller-0 …      one a lane; last, so the first GET /next leaves when all else stands

Start order is dependency order, so stopping in reverse is a drain. one_for_one and not
rest_for_one: with the truth in the ledgers no actor depends on another's incarnation, and to
restart the workers with the dispatcher would turn good results into errors.
"""

from functools import partial
from typing import Any

from supervisors import Child, Supervision

from .alarm import Alarm
from .dispatcher import Dispatcher
from .function import Function
from .handler import Instance, Plain, event_type, is_handler
from .ledger import DISPATCHER, Ledger
from .marshal import decoder_for
from .poller import Connect, Poller
from .responder import Responder
from .settings import Settings
from .worker import Worker

# The platform leaves 300 ms from SIGTERM to SIGKILL, for the whole tree.
GRACE = 0.05
WORKER_GRACE = 0.1
# What okibi's own actors may do wrong before a cold start is the better cure.
INTENSITY, PERIOD = 5, 5.0


class Serving:
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

    def worker(self) -> Worker:
        """Make a worker: the factory of its child spec."""
        target: Any = self.function.handler.handler
        if is_handler(target):
            decoder = decoder_for(event_type(target))
            return Worker(self.ledger, self.settings, target, decoder, True)
        # Inline while nobody else needs the loop: module-level connections, `signal` and
        # `asyncio.run` work as in the official client, and a thread would cost more than the rest.
        inline = len(self.ledger.lanes) == 1 and not self.function.children
        alarm = self.alarm if inline else None

        def plain() -> Instance:
            return Plain(target, alarm, self.ledger.abandon)

        return Worker(self.ledger, self.settings, plain, decoder_for(Any), False)

    def count(self) -> int:
        """How many workers: as the function says, else one a lane and a spare."""
        return self.function.handler.count or len(self.ledger.lanes) + 1


def tree(serving: Serving, connect: Connect) -> Supervision:
    """Everything that lives while a function is served."""
    ledger = serving.ledger
    responders = [
        Child(partial(Responder, lane), name=lane.responder, id=f"responder-{n}", shutdown=GRACE)
        for n, lane in enumerate(ledger.lanes)
    ]
    workers = Supervision(
        [
            Child(serving.worker, id=f"worker-{n}", shutdown=WORKER_GRACE)
            for n in range(serving.count())
        ],
        intensity=INTENSITY,
        period=PERIOD,
    )
    dispatcher = Child(
        partial(Dispatcher, ledger), name=DISPATCHER, id="dispatcher", shutdown=GRACE
    )
    pollers = [
        Child(partial(Poller, ledger, lane, connect), id=f"poller-{n}", shutdown=GRACE)
        for n, lane in enumerate(ledger.lanes)
    ]
    four = Supervision(
        [*responders, Child(workers, id="workers"), dispatcher, *pollers],
        intensity=INTENSITY,
        period=PERIOD,
    )
    children = serving.function.supervision
    users: list[Child[Any]] = []
    if children.children:
        users.append(Child(children, id="children"))
    return Supervision([*users, Child(four, id="lambda")], intensity=1)
