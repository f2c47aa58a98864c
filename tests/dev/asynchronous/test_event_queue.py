"""The queue of asynchronous events: retries, the on-failure file, and what a restart goes on with.

The sandboxes are played, and the clock is virtual; the last test has real ones.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from okibi.dev.asynchronous.event_file import EventFileError, open_event_file, read_events
from okibi.dev.asynchronous.event_queue import EventQueue, open_event_queue
from okibi.dev.asynchronous.private_files import FolderInUse, PrivateFile
from okibi.dev.asynchronous.queue_reports import EventDropped, EventRetried, QueueReport
from okibi.dev.asynchronous.retry_rules import Condition, QueuedEvent
from okibi.dev.dev_function import DevFunction, Throttled
from okibi.dev.function_pool import FunctionPool
from okibi.local import FunctionSettings, Invocation, InvokeResult

ROOT = Path(__file__).parents[3]
GOOD, BAD = b"{}", b'{"fails": true}'
FOREVER = 1e9


def dev_function(name: str = "visits", **fields: Any) -> DevFunction:
    settings = FunctionSettings("app.handler", name=name, task_root=Path(__file__).parent)
    return DevFunction(settings, **fields)


@attrs.define(eq=False)
class PlayedPool(FunctionPool):
    """A pool that fails events with `fails`, and does what a test wants before that."""

    function: DevFunction = attrs.field(factory=dev_function)
    before: Callable[[Invocation], None] = lambda _: None
    seconds: float = 0.0
    runs: list[tuple[float, str]] = attrs.field(factory=list[tuple[float, str]])
    """When each attempt began, and its request id."""
    running: int = 0
    most: int = 0
    """How many attempts were in flight at once, at most."""

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        raise NotImplementedError

    async def run_invocation(self, invocation: Invocation) -> InvokeResult:
        self.runs.append((trio.current_time(), invocation.request_id))
        self.before(invocation)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await trio.sleep(self.seconds)
        finally:
            self.running -= 1
        failed = b"fails" in invocation.payload
        return InvokeResult(
            200,
            b'{"errorMessage":"no"}' if failed else b"1",
            "Unhandled" if failed else None,
            None,
            invocation.request_id,
            1.0,
        )

    def delays(self) -> list[float]:
        """The seconds from each attempt to the next."""
        times = [time for time, _ in self.runs]
        return [later - time for time, later in itertools.pairwise(times)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    return autojump_clock


async def put(queue: EventQueue, *payloads: bytes, name: str = "visits") -> list[str]:
    invocations = [Invocation(payload, 3.0) for payload in payloads]
    for invocation in invocations:
        await queue.put(name, invocation)
    return [invocation.request_id for invocation in invocations]


async def until_empty(queue: EventQueue) -> None:
    while queue.counts():  # noqa: ASYNC110 - on the virtual clock
        await trio.sleep(1)


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")
    }


def now() -> float:
    return 1_767_268_800 + trio.current_time()


# -- attempts


async def test_a_failed_event_runs_three_times_with_one_request_id(
    clock: trio.testing.MockClock,
) -> None:
    pool = PlayedPool()
    async with open_event_queue([pool], retry_delay=60.0, now=now) as queue:
        (request_id,) = await put(queue, BAD)
        await until_empty(queue)

    assert [ran for _, ran in pool.runs] == [request_id] * 3
    assert pool.delays() == [60.0, 120.0]


async def test_a_good_event_runs_once(folder: Path, clock: trio.testing.MockClock) -> None:
    pool = PlayedPool()
    async with open_event_queue([pool], now=now) as queue:
        await put(queue, GOOD)
        await until_empty(queue)
        await trio.sleep(1000)

    assert len(pool.runs) == 1
    assert modes(folder) == {}


async def test_a_throttled_event_runs_again_until_it_is_taken(
    folder: Path,
    clock: trio.testing.MockClock,
) -> None:
    refusals = iter([True] * 4)

    def refuse(_: Invocation) -> None:
        if next(refusals, False):
            raise Throttled("Rate Exceeded.", "ReservedFunctionConcurrentInvocationLimitExceeded")

    pool = PlayedPool(dev_function(maximum_retry_attempts=0), refuse)
    async with open_event_queue([pool], retry_delay=60.0, now=now) as queue:
        await put(queue, GOOD)
        await until_empty(queue)

    assert pool.delays() == pytest.approx([1.0, 2.0, 4.0, 8.0])
    assert modes(folder) == {}


async def test_a_throttled_event_is_dropped_at_its_age(clock: trio.testing.MockClock) -> None:
    def refuse(_: Invocation) -> None:
        raise Throttled("Rate Exceeded.", "ConcurrentInvocationLimitExceeded")

    pool = PlayedPool(dev_function(maximum_event_age=60), refuse)
    async with open_event_queue([pool], retry_delay=60.0, now=now) as queue:
        await put(queue, GOOD)
        await until_empty(queue)

    (record,) = records(queue.failure_folder / "visits.jsonl")
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0


async def test_a_function_without_concurrency_gets_no_event(
    clock: trio.testing.MockClock,
) -> None:
    pool = PlayedPool(dev_function(reserved_concurrency=0))
    async with open_event_queue([pool], now=now) as queue:
        await put(queue, GOOD)
        await until_empty(queue)

    assert pool.runs == []
    (record,) = records(queue.failure_folder / "visits.jsonl")
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"


@pytest.mark.parametrize(
    ("function", "most"),
    [
        (dev_function(concurrency=3), 3),
        (dev_function(concurrency=3, reserved_concurrency=2), 2),
    ],
)
async def test_no_more_events_are_in_flight_than_the_pool_takes(
    function: DevFunction, most: int, clock: trio.testing.MockClock
) -> None:
    pool = PlayedPool(function, seconds=1.0)
    async with open_event_queue([pool], now=now) as queue:
        await put(queue, *[GOOD] * 10)
        await until_empty(queue)

    assert pool.most == most
    assert len(pool.runs) == 10


async def test_events_of_one_function_do_not_wait_for_another(
    clock: trio.testing.MockClock,
) -> None:
    slow = PlayedPool(dev_function("slow", concurrency=1), seconds=1000.0)
    fast = PlayedPool(dev_function("fast", concurrency=1))
    async with open_event_queue([slow, fast], now=now) as queue:
        await put(queue, GOOD, GOOD, name="slow")
        await put(queue, GOOD, name="fast")
        await trio.sleep(1)
        assert queue.counts() == {"slow": 2}


async def test_an_event_for_an_unknown_function_is_refused() -> None:
    async with open_event_queue([PlayedPool()]) as queue:
        with pytest.raises(KeyError):
            await put(queue, GOOD, name="other")


async def test_an_event_that_no_header_can_carry_is_refused() -> None:
    async with open_event_queue([PlayedPool()]) as queue:
        with pytest.raises(ValueError, match="client_context contains"):
            await queue.put("visits", Invocation(GOOD, 3.0, client_context="\x00"))


# -- what is reported and recorded


async def test_retries_and_the_end_are_reported(clock: trio.testing.MockClock) -> None:
    said: list[QueueReport] = []
    async with open_event_queue(
        [PlayedPool()], retry_delay=1.0, report=said.append, now=now
    ) as queue:
        (request_id,) = await put(queue, BAD)
        await until_empty(queue)

    file = queue.failure_folder / "visits.jsonl"
    assert said == [
        EventRetried("visits", request_id, 1, 1.0),
        EventRetried("visits", request_id, 2, 2.0),
        EventDropped("visits", request_id, 3, Condition.RETRIES_EXHAUSTED, file),
    ]
    (record,) = records(file)
    assert record["requestPayload"] == {"fails": True}
    assert record["responsePayload"] == {"errorMessage": "no"}


async def test_files_with_events_are_for_their_user_alone(
    folder: Path, clock: trio.testing.MockClock
) -> None:
    async with open_event_queue([PlayedPool()], data=Path("kept"), now=now) as queue:
        await put(queue, BAD)
        await until_empty(queue)
        await put(queue, GOOD)

    assert modes(folder) == {
        "kept": 0o700,
        "kept/on-failure": 0o700,
        "kept/on-failure/visits.jsonl": 0o600,
        "kept/queue": 0o700,
        "kept/queue/visits.jsonl": 0o600,
    }


async def test_without_a_data_folder_records_go_to_a_folder_that_git_ignores(
    folder: Path, clock: trio.testing.MockClock
) -> None:
    async with open_event_queue([PlayedPool()], now=now) as queue:
        await put(queue, BAD)
        await until_empty(queue)

    assert queue.failure_folder == folder / ".okibi" / "on-failure"
    assert len(records(folder / ".okibi" / "on-failure" / "visits.jsonl")) == 1
    assert (folder / ".okibi" / ".gitignore").read_text() == "*\n"


# -- the data folder


async def test_a_restart_goes_on_with_the_events_and_their_retries(
    clock: trio.testing.MockClock,
) -> None:
    data, first = Path("kept"), PlayedPool(dev_function(concurrency=1))
    async with open_event_queue([first], data=data, retry_delay=1000.0, now=now) as queue:
        failing, waiting = await put(queue, BAD, GOOD)
        await trio.sleep(1)
        # `failing` has failed once; `waiting` has ended, and this one hangs.
        first.seconds = FOREVER
        (hanging,) = await put(queue, GOOD)
        await trio.sleep(1)
    assert queue.counts() == {"visits": 2}

    second = PlayedPool(dev_function(concurrency=1))
    async with open_event_queue([second], data=data, retry_delay=1.0, now=now) as queue:
        await until_empty(queue)

    assert [ran for _, ran in second.runs] == [failing, hanging, failing]
    assert waiting not in [ran for _, ran in second.runs]
    (record,) = records(data / "on-failure" / "visits.jsonl")
    assert record["requestContext"]["requestId"] == failing
    assert record["requestContext"]["approximateInvokeCount"] == 3


async def test_an_event_is_in_its_file_when_put_returns() -> None:
    data = Path("kept")
    async with open_event_queue([PlayedPool(seconds=FOREVER)], data=data) as queue:
        (request_id,) = await put(queue, GOOD)
        assert request_id in (data / "queue" / "visits.jsonl").read_text()


async def test_a_file_without_queued_events_is_empty(clock: trio.testing.MockClock) -> None:
    data = Path("kept")
    async with open_event_queue([PlayedPool()], data=data, now=now) as queue:
        await put(queue, BAD, GOOD)
        await until_empty(queue)

        assert (data / "queue" / "visits.jsonl").read_bytes() == b""


async def test_events_of_functions_that_are_not_served_are_kept() -> None:
    data = Path("kept")
    async with open_event_queue(
        [PlayedPool(dev_function("old"), seconds=FOREVER)], data=data
    ) as queue:
        await put(queue, GOOD, GOOD, name="old")

    async with open_event_queue([PlayedPool()], data=data) as queue:
        assert queue.unserved == {"old": 2}


async def test_a_data_folder_has_one_user() -> None:
    data = Path("kept")
    async with open_event_queue([PlayedPool()], data=data):
        with pytest.raises(FolderInUse, match="kept: another okibi dev keeps its events there"):
            async with open_event_queue([PlayedPool()], data=data):
                pass


def test_a_line_that_a_kill_has_cut_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "visits.jsonl"
    file, _ = open_event_file(path)
    file.add_event(kept := QueuedEvent("1", "{}", 0.0))
    file.add_event(QueuedEvent("2", "{}", 0.0))
    file.close()
    path.write_bytes(path.read_bytes()[:-5])

    file, events = open_event_file(path)
    file.close()

    assert events == [kept]
    assert path.read_bytes().count(b"\n") == 1


def test_a_damaged_file_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "visits.jsonl"
    path.write_text('{"ended": "1"}\n?\n')

    with pytest.raises(EventFileError) as refused:
        open_event_file(path)

    assert str(refused.value).startswith(f"{path}, line 2: not a queued event of okibi dev (")


def test_a_write_that_fails_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = PrivateFile(tmp_path / "file")
    file.append(b"first\n")
    write = os.write
    pieces = iter([3])

    def full_disk(number: int, data: bytes) -> int:
        for size in pieces:
            return write(number, data[:size])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full_disk)
        with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/file'"):
            file.append(b"second\n")
    file.append(b"third\n")
    file.close()

    assert (tmp_path / "file").read_bytes() == b"first\nthird\n"


async def test_a_full_disk_ends_the_queue_and_loses_no_event(
    clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    data, ids = Path("kept"), list[str]()

    async def run_on_a_full_disk() -> None:
        async with open_event_queue([PlayedPool()], data=data, now=now) as queue:
            ids.extend(await put(queue, BAD))
            with monkeypatch.context() as patched:
                patched.setattr(PrivateFile, "append", full_disk)
                await trio.sleep_forever()

    with pytest.raises(OSError, match="No space left"):
        await run_on_a_full_disk()

    async with open_event_queue([PlayedPool()], data=data, now=now) as queue:
        await until_empty(queue)
    (record,) = records(queue.failure_folder / "visits.jsonl")
    assert record["requestContext"]["requestId"] == ids[0]


PUTS = """
import sys
from pathlib import Path
import trio
from okibi.local import Invocation
from okibi.dev.asynchronous.event_queue import open_event_queue
from tests.dev.asynchronous.test_event_queue import FOREVER, PlayedPool

async def main():
    async with open_event_queue([PlayedPool(seconds=FOREVER)], data=Path("kept")) as queue:
        while True:
            await queue.put("visits", invocation := Invocation(b"{}", 3.0))
            print(invocation.request_id, flush=True)

trio.run(main)
"""


@pytest.mark.slow
def test_a_kill_loses_no_event_that_was_acknowledged(tmp_path: Path) -> None:
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(
        [sys.executable, "-c", PUTS],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    ) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().decode().strip() for _ in range(200)]
        process.kill()

    kept = {event.request_id for event in read_events(tmp_path / "kept/queue/visits.jsonl")}
    assert "" not in acknowledged
    assert kept.issuperset(acknowledged)
