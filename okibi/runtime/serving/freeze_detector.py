"""Look at the clocks for the actors that monitor freezes (`okibi.actors.freezes`).

The ledger has the clocks checked as each event arrives and as each is settled, too. Between the two
the sandbox is not frozen, but a handler may block the loop: of that time, only the wall clock's
lead over trio's clock counts.
"""

import trio

from ...actors import Actor
from ...actors.freezes import CHECK_INTERVAL, current_monitors
from ..in_flight.ledger import Ledger


class FreezeDetector(Actor):
    """Checks the clocks every CHECK_INTERVAL while there are monitors.

    Args:
        ledger: has the clocks checked with each event as well.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def run(self) -> None:
        monitors, ledger = current_monitors(), self.ledger
        while True:
            if not monitors.monitors:
                ledger.check_freeze = None
                await monitors.wait_for_monitors()
            if ledger.check_freeze is None:
                ledger.check_freeze = monitors.check
                monitors.check(ledger.in_flight())
            await trio.sleep(CHECK_INTERVAL)
            monitors.check(ledger.in_flight())
