"""What goes wrong in the tree, as metrics: of CloudWatch by the log, and of OpenTelemetry.

Imported only if something takes them: `OKIBI_METRICS` is set, or the function's module has imported
`opentelemetry.metrics`. `actors.logs.count` is called where something happens.
"""

import sys
import time
from typing import TYPE_CHECKING, Any

from ...actors import logs
from ..deadlines.watchdog import Watchdog
from ..errors.error_response import to_json
from ..logs.lambda_log import TIME, write_counts, write_counts_of
from ..settings import Settings

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from ..in_flight.ledger import Watch

# Paths that a metric is divided by, in one line; the rest is one entry. A supervisor may have any
# number of dynamic children, and a line of CloudWatch has at most 1 MB.
MOST_PATHS = 50
OTHERS = "others"


def count_tree(settings: Settings, watchdog: Watchdog) -> "Watch":
    """Count what goes wrong from now on, for all that takes it.

    Args:
        settings: the settings from the environment.
        watchdog: the watchdog.

    Returns:
        What the ledger notifies in place of the watchdog.
    """
    if "opentelemetry.metrics" in sys.modules:
        from opentelemetry import metrics

        logs.count_with(Instruments(metrics.get_meter("okibi")).add)
    if not settings.metrics:
        return watchdog
    embedded = EmbeddedMetrics(settings)
    logs.count_with(embedded.add)
    write_counts_of(embedded.take_line)
    return CountingWatch(watchdog)


class CountingWatch:
    """Notifies the watchdog, and writes what was counted before each response."""

    def __init__(self, watchdog: Watchdog) -> None:
        self.arm = watchdog.arm
        self._settled = watchdog.settled

    def settled(self) -> None:
        """An event is settled: its response leaves after this."""
        # First, because writing may hang: the watchdog still holds the deadline.
        write_counts()
        self._settled()


class EmbeddedMetrics:
    """Counts as a line of the log, which CloudWatch makes metrics of (embedded metric format).

    Args:
        settings: the namespace, the function's name and version.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counts = dict[str, dict[str, int]]()

    def add(self, what: str, path: str, number: int) -> None:
        """Count what has happened."""
        counts = self._counts.setdefault(what, {})
        label = label_of(path)
        if label not in counts and len(counts) >= MOST_PATHS:
            label = OTHERS
        before = counts.get(label, 0)
        counts[label] = max(before, number) if what == logs.MAILBOX_PEAK else before + number

    def take_line(self) -> str:
        """Return the line of what was counted since the last one; empty if nothing was."""
        if not self._counts:
            return ""
        counts, self._counts = self._counts, {}
        now = time.time()
        totals = {
            what: (max if what == logs.MAILBOX_PEAK else sum)(by_path.values())
            for what, by_path in counts.items()
        }
        directive = {
            "Namespace": self._settings.metrics,
            "Dimensions": [["FunctionName"]],
            "Metrics": [{"Name": what, "Unit": "Count"} for what in totals],
        }
        return to_json(
            {
                "_aws": {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]},
                # Lambda's filter by level takes a line without them for INFO.
                "timestamp": time.strftime(TIME + "Z", time.gmtime(now)),
                "level": "WARN",
                "FunctionName": self._settings.function_name,
                "FunctionVersion": self._settings.function_version,
                **totals,
                "paths": {
                    what: by_path for what, by_path in counts.items() if by_path.keys() != {""}
                },
            }
        )


class Instruments:
    """Counts as instruments of OpenTelemetry: `okibi.restarts` with the attribute `okibi.path`.

    Args:
        meter: makes the instruments.
    """

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self._instruments = dict[str, Any]()

    def add(self, what: str, path: str, number: int) -> None:
        """Count what has happened."""
        attributes = {"okibi.path": label_of(path)} if path else {}
        if what == logs.MAILBOX_PEAK:
            self._instrument(what, self._meter.create_gauge).set(number, attributes)
        else:
            self._instrument(what, self._meter.create_counter).add(number, attributes)

    def _instrument(self, what: str, create: Any) -> Any:
        if what not in self._instruments:
            words = "".join(f"_{c.lower()}" if c.isupper() else c for c in what)
            self._instruments[what] = create(f"okibi.{words[1:]}", unit="1")
        return self._instruments[what]


def label_of(path: str) -> str:
    """Return a path without the number that a supervisor has given to a child.

    >>> label_of("/function/children/sessions/Session-17"), label_of("/function/children/top10")
    ('/function/children/sessions/Session', '/function/children/top10')
    """
    head = path.rstrip("0123456789")
    return head[:-1] if head != path and head.endswith("-") else path
