"""The end of the process on a signal.

Events in flight are finished if there is time, each `terminate` runs, the order is kept while there
is time, and nothing delays the end.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Server, start
from okibi.local import InvokeResult
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.deadlines.kill_timer import SIGNAL as KILLS
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.process_end import shutdown
from okibi.runtime.process_end.shutdown import DRAIN, Shutdown
from tests.endurance.stopping import LONG, Ended, told_to_end, unhurried
from tests.limits import HANG
from tests.support.played_api import Played, event
from tests.support.sandbox import deadline_after, process_of, running, until_there

slow = partial(pytest.param, marks=pytest.mark.slow)

TIMELESS = """
import time
time.sleep = lambda seconds: None
time.monotonic = lambda: 0.0

def handler(event, context):
    return "ok"
"""

# Receives the signal in the middle of a slow function that handles the event.
SIGNALLED_WITHIN = """
import signal, sys
from okibi.runtime.{module} import {of}
from okibi.runtime.bootstrap import main
done = {of}.{what}
def told(self, *given):
    if "seconds" in repr(given):
        signal.raise_signal(signal.SIGTERM)
    return done(self, *given)
{of}.{what} = told
sys.exit(main(sys.argv[1:]))
"""

# The limit passes during finalisation, when no signal handler exists any more.
FINALISED = """
import sys, time
from okibi.runtime.process_end import shutdown

class Lasting:
    def __del__(self, sleep=time.sleep):
        sleep({seconds})

lasting = Lasting()
shutdown.STOP_LIMIT = {limit}
shutdown.exit_within(0.2, 3)
sys.exit(3)
"""

# Another signal handler raises as the exit handler begins, and user code catches that.
RAISED_INTO = """
import time
from okibi.runtime.process_end import shutdown

end, begun = shutdown._exit, []
def raised_into(*given):
    begun.append(1)
    if len(begun) == 1:
        raise KeyboardInterrupt
    end(*given)

shutdown._exit = raised_into
shutdown.exit_within(0.1, 3)
while True:
    try:
        time.sleep(30)
    except KeyboardInterrupt:
        pass
"""

# Writes a file after handling a signal, and waits long enough for a second one.
TAKEN = """
import pathlib, sys
from okibi.runtime.process_end import shutdown
from okibi.runtime.bootstrap import main
shutdown.DRAIN, shutdown.STOP_LIMIT = 10, 15
take = shutdown.Shutdown._handle_signal
def taken(self, *given):
    take(self, *given)
    pathlib.Path({path!r}).touch()
shutdown.Shutdown._handle_signal = taken
sys.exit(main(sys.argv[1:]))
"""

INTERRUPTED = """
from okibi.actors import Name, Server
from okibi.runtime import Function
from okibi.supervisors import Child

class Interrupted(Server):
    async def work(self):
        raise KeyboardInterrupt

    async def terminate(self, reason):
        raise KeyboardInterrupt

class Beside(Server):
    async def terminate(self, reason):
        print("beside ends", flush=True)

NAMES = [Name(name, Interrupted) for name in ("first", "second")]

async def handler(event, context):
    for name in NAMES if event else []:
        await name.cast(Interrupted.work)
    return "ok"

children = [Child(Beside, id="beside"), *(Child(Interrupted, name=name) for name in NAMES)]
function = Function(handler, children=children)
"""


NOT_ENDED = "the process has not ended within 2 s: exiting now"


def error_of(ended: Ended) -> str:
    assert ended.result is not None
    return ended.result.error_type or ""


@pytest.mark.parametrize(("handler", "size"), [("ends.plain", 4), ("ends.orderly", 5_000_000)])
async def test_an_event_in_flight_is_finished_and_no_other_requested(
    handler: str, size: int, tmp_path: Path
) -> None:
    until, command = tmp_path / "told", unhurried(drain=10)
    event = {"seconds": 0.05, "size": size, "until": str(until)}
    async with told_to_end(handler, event, command=command) as (ended, _):
        # Had the signal come too late, the lane would have asked for an event.
        until.touch()

    assert ended.code == 0
    assert ended.result is not None
    assert ended.result.error_type is None
    assert len(ended.result.payload) == size + len('""')
    assert not ended.asked_for_more


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT)])
async def test_a_longer_event_is_answered_and_the_tree_stops_in_reverse(number: int) -> None:
    event, command = {"seconds": LONG}, unhurried()
    async with told_to_end("ends.orderly", event, number, command=command) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    # Between them is the log line of the interrupted event.
    said = [line for line in ended.lines if line.startswith(("handler", "member"))]
    assert said == ["handler", "handler", "member 2", "member 1", "member 0"]


@pytest.mark.parametrize(("come", "waits"), [(0, False), (9, True), (60, True)])
async def test_a_half_read_event_may_arrive_completely(
    come: int,
    waits: bool,
    nursery: trio.Nursery,
    mock_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "exit_within", lambda *_: None)
    lane = Lane(0, b"api")
    lane.attach(Played())
    lane.stage()
    if come:
        assert lane.connection is not None
        lane.connection.parser.feed(event()[:come])
    root = await start(nursery, Server)
    process = Shutdown([lane], DeadlineInterrupt())
    process.root = root.process()
    nursery.start_soon(process.run)

    process.begin(0)

    await wait_all_tasks_blocked()
    assert root.alive is waits
    mock_clock.jump(DRAIN)
    await wait_all_tasks_blocked()
    assert not root.alive


async def test_the_interrupting_function_ends_and_starts_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "exit_within", lambda *_: None)
    monkeypatch.setattr(shutdown, "DRAIN", 0)
    errands = list[Callable[[], None]]()
    threads = threading.active_count()

    with Shutdown([], DeadlineInterrupt(), errands.append):
        signal.raise_signal(signal.SIGTERM)
        (cut,) = errands
        assert threading.active_count() == threads
        (thread := threading.Thread(target=cut)).start()
        # No handler runs yet, but one may begin.
        await trio.to_thread.run_sync(thread.join, 0.1)
        assert thread.is_alive()

    await trio.to_thread.run_sync(thread.join, 5)
    assert not thread.is_alive()


@pytest.mark.slow
async def test_a_keyboard_interrupt_raised_by_an_actor_ends_no_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(INTERRUPTED)
    async with process_of("app.function", task_root=tmp_path) as (process, api, said):
        for event in (b'{"raise": 1}', b"{}"):
            assert (await api.invoke(event)).payload == b'"ok"'
        process.send_signal(signal.SIGTERM)

        assert await process.wait() == 0

    assert b"beside ends" in b"".join(said)


@pytest.mark.slow
async def test_a_module_that_replaces_time_s_functions_has_no_effect(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(TIMELESS)
    async with process_of("app.handler", task_root=tmp_path) as (process, api, said):
        await api.invoke(b"{}")
        process.send_signal(signal.SIGTERM)

        assert await process.wait() == 0

    assert b"has not ended within" not in b"".join(said)


@pytest.mark.parametrize("sleep", [True, slow(False)])
async def test_a_plain_handler_on_the_main_thread_is_interrupted(sleep: bool) -> None:
    async with told_to_end("ends.plain", {"seconds": LONG, "sleep": sleep}) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert ended.seconds < LONG / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "of", "what", "sleep"),
    [
        ("deadlines.interrupt", "DeadlineInterrupt", "run", True),
        ("in_flight.lane", "Lane", "take_event", False),
    ],
)
async def test_a_handler_that_begins_after_the_signal_is_interrupted(
    module: str, of: str, what: str, sleep: bool
) -> None:
    results = list[InvokeResult]()
    command = (sys.executable, "-P", "-c", SIGNALLED_WITHIN.format(module=module, of=of, what=what))
    async with process_of("ends.plain", command=command) as (process, api, _):
        await api.invoke(b"{}")

        async def invoke() -> None:
            event = json.dumps({"seconds": LONG, "sleep": sleep}).encode()
            results.append(await api.invoke(event))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(invoke)
            assert await process.wait() == 0
            with trio.move_on_after(1):
                while not results:  # noqa: ASYNC110, the server may not have read it yet
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    assert [result.error_type for result in results] == ["Runtime.Stopped"]


async def test_a_finally_of_an_interrupted_handler_has_time() -> None:
    event = {"seconds": LONG, "cleans": 0.03}
    async with told_to_end("ends.cleans_up", event) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert "is rolled back" in ended.lines


@pytest.mark.slow
async def test_a_finally_that_takes_too_long_is_interrupted() -> None:
    event = {"seconds": LONG, "cleans": LONG}
    async with told_to_end("ends.cleans_up", event) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert "is rolled back" not in ended.lines


async def test_a_plain_handler_in_a_thread_is_abandoned_and_answered() -> None:
    event = {"seconds": LONG, "sleep": True}
    async with told_to_end("ends.plain", event, lanes=2) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert ended.seconds < LONG / 2


@pytest.mark.slow
async def test_a_plain_handler_that_catches_everything_does_not_delay_the_end() -> None:
    async with told_to_end("ends.holds_on", {"seconds": LONG}, response=False) as (ended, _):
        pass

    assert ended.code == 1
    assert NOT_ENDED in "\n".join(ended.lines)


async def test_a_shielded_handler_is_answered_before_the_platform_kills() -> None:
    async with told_to_end("ends.shields", {"seconds": LONG}) as (ended, process):
        with trio.fail_after(HANG):
            while ended.result is None:  # noqa: ASYNC110, there is no event to wait for
                await trio.sleep(0.001)
        assert process.returncode is None

    assert error_of(ended) == "Runtime.Stopped"
    assert ended.code == 1
    assert NOT_ENDED in "\n".join(ended.lines)


async def test_a_slow_child_is_killed_and_logged_and_the_others_clean_up() -> None:
    async with told_to_end("ends.hurried", {}) as (ended, _):
        pass

    assert ended.code == 0
    assert {"member 0", "member 1", "member 2"} <= set(ended.lines)
    assert "member 3" not in ended.lines
    report = "\n".join(ended.lines)
    assert "/function/children stopped 4 of 4 children in" in report
    assert "/function/children/3 was killed" in report


@pytest.mark.slow
async def test_children_of_nested_supervisors_clean_up_in_haste() -> None:
    async with told_to_end("ends.nested", {}) as (ended, _):
        pass

    assert ended.code == 0
    assert {"member 0", "member 1"} <= set(ended.lines)
    report = "\n".join(ended.lines)
    assert "/function/children/second/0 was killed" in report
    assert "/function/children/second/1 was killed" in report
    assert "restarted" not in report


async def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    path, event = tmp_path / "taken", {"seconds": LONG, "sleep": True}
    command = (sys.executable, "-P", "-c", TAKEN.format(path=str(path)))
    async with told_to_end("ends.plain", event, command=command, response=False) as (
        ended,
        process,
    ):
        # Two pending signals of one number are one, until the first is handled.
        await until_there(path)
        await trio.sleep(0.03)
        process.send_signal(signal.SIGTERM)

    assert ended.code == 128 + signal.SIGTERM
    assert ended.result is None
    assert any("SIGTERM arrived again: the process exits at once" in line for line in ended.lines)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
@pytest.mark.parametrize(("seconds", "limit", "code"), [(0.3, LONG, 3), slow(LONG, 1.0, -KILLS)])
def test_the_exit_code_survives_a_slow_finalisation(
    seconds: float, limit: float, code: int
) -> None:
    program = FINALISED.format(seconds=seconds, limit=limit)
    done = subprocess.run([sys.executable, "-c", program], timeout=HANG)

    assert done.returncode == code


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
def test_the_exit_signal_repeats_if_another_handler_raises() -> None:
    done = subprocess.run([sys.executable, "-c", RAISED_INTO], timeout=HANG)

    assert done.returncode == 3


@pytest.mark.slow
async def test_each_terminate_of_many_actors_runs_in_reverse() -> None:
    event, command = {"seconds": LONG}, unhurried()
    async with told_to_end("ends.many", event, members=200, command=command) as (ended, _):
        pass

    members = [line for line in ended.lines if line.startswith("member")]
    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert members == [f"member {n}" for n in reversed(range(200))]


async def test_the_function_s_sigterm_handler_runs_after_the_tree() -> None:
    async with told_to_end("told.handler", {}) as (ended, _):
        pass

    assert ended.lines[-2:] == ["member 0", "told of 15"]
    assert ended.code == 5


@pytest.mark.slow
async def test_the_function_s_handler_does_not_run_for_sigint() -> None:
    async with told_to_end("told.handler", {}, signal.SIGINT) as (ended, _):
        pass

    assert not any("told of" in line for line in ended.lines)
    assert ended.code == 0


@pytest.mark.parametrize("held", [False, slow(True)])
async def test_a_tree_that_gives_up_asks_for_no_event_and_ends(
    held: bool,
) -> None:
    results = dict[str, InvokeResult]()

    async with running("gives_up.function", api=deadline_after(1.0)) as sandbox:

        async def ask(do: str) -> None:
            results[do] = await sandbox.invoke({"do": do})

        first = await sandbox.ask()
        if held:
            await ask("hold")
        with trio.fail_after(HANG):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, "fall")
                await wait_all_tasks_blocked()
                nursery.start_soon(ask, "after")

        assert results["fall"].error_type == "Runtime.Stopped"
        # The event waited for the next process; the ending one did not get it.
        assert results["after"].function_error is None
        assert int(results["after"].payload) != first
