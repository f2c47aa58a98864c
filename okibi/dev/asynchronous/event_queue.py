"""Run asynchronous invocations as Lambda does: queued, retried, and recorded if they fail."""

import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from ...local.background_nursery import open_background_nursery
from ...local.platform.hooks import ignore
from ...local.platform.invocation import Invocation, check_headers
from ..function_pool import FunctionPool
from .event_file import read_events
from .failure_file import FailureFile, failure_folder
from .function_queue import FunctionQueue
from .private_files import lock_folder, make_private_folder
from .queue_reports import QueueReport
from .retry_rules import QueuedEvent

# Seconds before the first retry in `okibi dev`; Lambda waits 60.
DEFAULT_RETRY_DELAY = 1.0


@attrs.define(eq=False)
class EventQueue:
    """The queued events of all functions. Created by `open_event_queue`."""

    # The folder of the on-failure files: one file per function, NAME.jsonl.
    failure_folder: Path
    # How many events of functions that are not served are kept in the data folder, by name.
    unserved: Mapping[str, int]
    _queues: Mapping[str, FunctionQueue]
    _now: Callable[[], float]

    async def put(self, name: str, invocation: Invocation) -> None:
        """Accept an event, and return when it is safe to acknowledge it (202).

        With a data folder the event has been written to its file then. Log and sink of the
        invocation are not used.

        Args:
            name: the name of a served function.
            invocation: the invocation; its request id is that of all attempts.

        Raises:
            KeyError: no such function is served.
            ValueError: a field contains a character that an HTTP header cannot carry, or the
                payload is not UTF-8.
            OSError: the event cannot be written, as on a full disk. It is not queued then.
        """
        check_headers(invocation)
        self._queues[name].accept(QueuedEvent.of(invocation, self._now()))
        await trio.lowlevel.checkpoint()

    def counts(self) -> dict[str, int]:
        """Return how many events have not ended, by function; those in flight are included.

        Also valid after the queue has been closed: these events have not been run to their end.
        """
        return {name: queue.size for name, queue in self._queues.items() if queue.size}


@asynccontextmanager
async def open_event_queue(
    pools: Iterable[FunctionPool],
    *,
    data: Path | None = None,
    retry_delay: float = DEFAULT_RETRY_DELAY,
    report: Callable[[QueueReport], None] = ignore,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[EventQueue]:
    """Run the asynchronous events of functions until the block ends.

    At most as many events of a function run at once as it has sandboxes for. The end of the block
    cancels the attempts in flight. With a data folder these events and all that wait are kept, and
    the next queue with that folder goes on with them; their retries count on. Open the queue inside
    the block of the pools: an attempt that a closing pool ends would count as a failure.

    Args:
        pools: the sandboxes of each function.
        data: the folder that keeps the events; None keeps them in memory alone.
        retry_delay: seconds before the first retry. The second comes after twice as long, and the
            pauses after a throttle are scaled too. Lambda's is 60.
        report: called with what is to be printed.
        now: the time in seconds since the epoch.

    Raises:
        FolderInUse: another process uses the data folder.
        EventFileError: a file in the data folder is damaged.
        OSError: the data folder cannot be read or written. Also at the end of the block, if a file
            could not be written in between, as on a full disk; the block is cancelled then.

    Example:
        async with open_event_queue([pool], data=Path("events")) as queue:
            await queue.put("visits", Invocation(b"{}", 3.0))
    """
    if not 0 <= retry_delay < math.inf:
        raise ValueError(f"retry_delay must be seconds >= 0, got {retry_delay!r}")
    failures = failure_folder(data)
    failure: OSError | None = None

    def fail(error: OSError) -> None:
        nonlocal failure
        failure = failure or error
        nursery.cancel_scope.cancel()

    with ExitStack() as stack:
        if data is not None:
            make_private_folder(data)
            make_private_folder(data / "queue")
            stack.callback(os.close, lock_folder(data))
        queues: dict[str, FunctionQueue] = {}
        for pool in pools:
            name = pool.function.name
            target = FailureFile(failures / f"{name}.jsonl", data is None)
            stack.callback(target.close)
            queues[name] = queue = FunctionQueue(pool, target, retry_delay, report, now, fail)
            if data is not None:
                queue.open_file(data / "queue" / f"{name}.jsonl")
                stack.callback(queue.close_file)
        unserved = {} if data is None else _count_unserved(data / "queue", queues)
        async with open_background_nursery() as nursery:
            for queue in queues.values():
                nursery.start_soon(queue.run)
            yield EventQueue(failures, unserved, queues, now)
    if failure is not None:
        raise failure


def _count_unserved(folder: Path, served: Iterable[str]) -> dict[str, int]:
    names = sorted(file.stem for file in folder.glob("*.jsonl"))
    counts = {
        name: len(read_events(folder / f"{name}.jsonl")) for name in names if name not in served
    }
    return {name: count for name, count in counts.items() if count}
