"""What a signal does: nothing in flight is lost that can be finished, each `terminate` runs, the
order is kept while there is time for it, and nothing holds the end.
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
from okibi.runtime.deadlines.interrupt import Alarm
from okibi.runtime.deadlines.kill_timer import SIGNAL as KILLS
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.process import shutdown
from okibi.runtime.process.shutdown import DRAIN, Ending
from tests.endurance.stopping import LONG, Ended, told_to_end, unhurried
from tests.limits import HANG
from tests.support.played_api import Played, event
from tests.support.sandbox import process_of, running, until_there

slow = partial(pytest.param, marks=pytest.mark.slow)

TIMELESS = """
import time
time.sleep = lambda seconds: None
time.monotonic = lambda: 0.0

def handler(event, context):
    return "ok"
"""

# Told to end when something is done for the event that takes time.
TOLD_BEFORE = """
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

# Its limit is over while the interpreter is finalised, and knows of no signal's handler any more.
FINALISED = """
import sys, time
from okibi.runtime.process import shutdown

class Lasting:
    def __del__(self, sleep=time.sleep):
        sleep({seconds})

lasting = Lasting()
shutdown.STOP_LIMIT = 1.0
shutdown.end_within(0.2, 3)
sys.exit(3)
"""

# Another signal's handler raises as the limit's begins, and the user's code swallows that.
RAISED_INTO = """
import time
from okibi.runtime.process import shutdown

end, begun = shutdown._end, []
def raised_into(*given):
    begun.append(1)
    if len(begun) == 1:
        raise KeyboardInterrupt
    end(*given)

shutdown._end = raised_into
shutdown.end_within(0.1, 3)
while True:
    try:
        time.sleep(30)
    except KeyboardInterrupt:
        pass
"""

# Writes a file once it has taken a signal, and has time enough for another to come.
TAKEN = """
import pathlib, sys
from okibi.runtime.process import shutdown
from okibi.runtime.bootstrap import main
shutdown.DRAIN, shutdown.STOP_LIMIT = 10, 15
take = shutdown.Ending._take
def taken(self, *given):
    take(self, *given)
    pathlib.Path({path!r}).touch()
shutdown.Ending._take = taken
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


def error_of(ended: Ended) -> str:
    assert ended.result is not None
    return ended.result.error_type or ""


async def test_what_is_in_flight_is_finished_when_it_can_be() -> None:
    slow, command = {"seconds": 0.05}, unhurried(drain=10)
    async with told_to_end("ends.orderly", slow, command=command) as (ended, _):
        pass

    assert ended.code == 0
    assert ended.result is not None
    assert ended.result.payload == b'"xx"'


@pytest.mark.parametrize(
    "handler", ["ends.plain", "ends.orderly", *map(slow, ["ends.plain", "ends.orderly"] * 2)]
)
async def test_what_is_answered_meanwhile_asks_for_no_other_event(
    handler: str, tmp_path: Path
) -> None:
    until, command = tmp_path / "told", unhurried(drain=10)
    event = {"seconds": 0.05, "until": str(until)}
    async with told_to_end(handler, event, command=command) as (ended, _):
        # It would have asked for one if the signal had come too late for it.
        until.touch()

    assert ended.result is not None
    assert ended.result.error_type is None
    assert not ended.asked_for_more


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT)])
async def test_what_takes_longer_is_cut_and_answered(number: int) -> None:
    async with told_to_end("ends.orderly", {"seconds": LONG}, number) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"


async def test_it_ends_in_order_handlers_first_then_the_children_in_reverse() -> None:
    event, command = {"seconds": LONG}, unhurried()
    async with told_to_end("ends.orderly", event, command=command) as (ended, _):
        pass

    # Between them stands the log's line of the event that was cut.
    said = [line for line in ended.lines if line.startswith(("handler", "member"))]
    assert said == ["handler", "handler", "member 2", "member 1", "member 0"]


@pytest.mark.parametrize(("come", "waits"), [(0, False), (9, True), (60, True)])
async def test_an_event_that_has_come_by_half_has_the_time_to_come_whole(
    come: int,
    waits: bool,
    nursery: trio.Nursery,
    mock_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "end_within", lambda *_: None)
    lane = Lane(0, b"api")
    lane.attach(Played())
    lane.stage()
    if come:
        lane.parse(event()[:come])
    root = await start(nursery, Server)
    process = Ending([lane], Alarm())
    process.root = root.process()
    nursery.start_soon(process.run)

    process.begin(0)

    await wait_all_tasks_blocked()
    assert root.alive is waits
    mock_clock.jump(DRAIN)
    await wait_all_tasks_blocked()
    assert not root.alive


async def test_what_cuts_ends_with_the_serving_and_starts_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "end_within", lambda *_: None)
    monkeypatch.setattr(shutdown, "DRAIN", 0)
    errands = list[Callable[[], None]]()
    threads = threading.active_count()

    with Ending([], Alarm(), errands.append):
        signal.raise_signal(signal.SIGTERM)
        (cut,) = errands
        assert threading.active_count() == threads
        (thread := threading.Thread(target=cut)).start()
        # Nothing is to be cut yet: it waits for what may begin.
        await trio.to_thread.run_sync(thread.join, 0.1)
        assert thread.is_alive()

    await trio.to_thread.run_sync(thread.join, 5)
    assert not thread.is_alive()


async def test_a_keyboard_interrupt_of_an_actor_s_own_ends_nothing_nor_cuts_the_end_short(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(INTERRUPTED)
    async with process_of("app.function", task_root=tmp_path) as (process, api, said):
        for event in (b'{"raise": 1}', b"{}"):
            assert (await api.invoke(event)).payload == b'"ok"'
        process.send_signal(signal.SIGTERM)

        assert await process.wait() == 0

    assert b"beside ends" in b"".join(said)


async def test_a_user_s_module_that_replaces_time_s_functions_hurries_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(TIMELESS)
    async with process_of("app.handler", task_root=tmp_path) as (process, api, said):
        await api.invoke(b"{}")
        process.send_signal(signal.SIGTERM)

        assert await process.wait() == 0

    assert b"does not end by itself" not in b"".join(said)


async def test_a_long_answer_is_written_to_its_end() -> None:
    event, command = {"seconds": 0.05, "size": 5_000_000}, unhurried(drain=10)
    async with told_to_end("ends.orderly", event, command=command) as (ended, _):
        pass

    assert ended.code == 0
    assert ended.result is not None
    assert len(ended.result.payload) == 5_000_002


@pytest.mark.parametrize("sleep", [True, slow(False)])
async def test_a_plain_handler_that_holds_the_main_thread_is_cut_and_answered(sleep: bool) -> None:
    async with told_to_end("ends.plain", {"seconds": LONG, "sleep": sleep}) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert ended.seconds < LONG / 2


@pytest.mark.parametrize(
    ("module", "of", "what", "sleep"),
    [
        ("deadlines.interrupt", "Alarm", "run", True), slow("deadlines.interrupt", "Alarm", "run",
        False), slow("in_flight.lane", "Lane", "parse", True), ("in_flight.lane", "Lane",
    "parse", False), ],
)  # fmt: skip
async def test_so_is_one_that_begins_when_the_signal_has_come(
    module: str, of: str, what: str, sleep: bool
) -> None:
    results = list[InvokeResult]()
    command = (sys.executable, "-P", "-c", TOLD_BEFORE.format(module=module, of=of, what=what))
    async with process_of("ends.plain", command=command) as (process, api, _):
        await api.invoke(b"{}")

        async def invoke() -> None:
            event = json.dumps({"seconds": LONG, "sleep": sleep}).encode()
            results.append(await api.invoke(event))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(invoke)
            assert await process.wait() == 0
            with trio.move_on_after(1):
                while not results:  # noqa: ASYNC110, the server may still have to read it
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()

    assert [result.error_type for result in results] == ["Runtime.Stopped"]


async def test_a_finally_of_a_handler_that_is_cut_has_its_time() -> None:
    event = {"seconds": LONG, "cleans": 0.03}
    async with told_to_end("ends.cleans_up", event) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert "is rolled back" in ended.lines


async def test_one_that_takes_longer_is_cut_too() -> None:
    event = {"seconds": LONG, "cleans": LONG}
    async with told_to_end("ends.cleans_up", event) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert "is rolled back" not in ended.lines


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT)])
async def test_a_plain_handler_in_a_thread_is_left_there_and_its_event_is_answered(
    number: int,
) -> None:
    event = {"seconds": LONG, "sleep": True}
    async with told_to_end("ends.plain", event, number, lanes=2) as (ended, _):
        pass

    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert ended.seconds < LONG / 2


async def test_a_plain_handler_that_lets_nothing_cut_it_does_not_hold_the_end() -> None:
    async with told_to_end("ends.holds_on", {"seconds": LONG}) as (ended, _):
        pass

    assert ended.code == 1
    assert any("the process does not end by itself in 2 s" in line for line in ended.lines)


async def test_a_handler_that_shields_itself_is_answered_for_before_the_platform_kills() -> None:
    async with told_to_end("ends.shields", {"seconds": LONG}) as (ended, process):
        with trio.fail_after(HANG):
            while ended.result is None:  # noqa: ASYNC110, nobody tells of it
                await trio.sleep(0.001)
        assert process.returncode is None

    assert error_of(ended) == "Runtime.Stopped"
    assert ended.code == 1


async def test_a_child_that_takes_too_long_is_killed_and_told_of_and_the_others_clean_up() -> None:
    async with told_to_end("ends.hurried", {}) as (ended, _):
        pass

    assert ended.code == 0
    assert {"member 0", "member 1", "member 2"} <= set(ended.lines)
    assert "member 3" not in ended.lines
    report = "\n".join(ended.lines)
    assert "/function/children stopped 4 of 4 children in" in report
    assert "/function/children/3 was killed" in report


@pytest.mark.slow
async def test_in_a_hurry_those_below_other_supervisors_clean_up_too() -> None:
    async with told_to_end("ends.nested", {}) as (ended, _):
        pass

    assert ended.code == 0
    assert {"member 0", "member 1"} <= set(ended.lines)
    report = "\n".join(ended.lines)
    assert "/function/children/second/0 was killed" in report
    assert "/function/children/second/1 was killed" in report
    assert "restarted" not in report


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    path, event = tmp_path / "taken", {"seconds": LONG, "sleep": True}
    command = (sys.executable, "-P", "-c", TAKEN.format(path=str(path)))
    async with told_to_end("ends.plain", event, command=command) as (ended, process):
        # Two of one kind are one, until the first has been taken.
        await until_there(path)
        await trio.sleep(0.03)
        process.send_signal(signal.SIGTERM)

    assert ended.code == 128 + signal.SIGTERM
    assert ended.result is None
    assert any("SIGTERM again: the process ends at once" in line for line in ended.lines)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
@pytest.mark.parametrize(("seconds", "code"), [(0.5, 3), (LONG, -KILLS)])
def test_the_exit_code_survives_a_slow_finalisation(seconds: float, code: int) -> None:
    program = FINALISED.format(seconds=seconds)
    done = subprocess.run([sys.executable, "-c", program], timeout=HANG)

    assert done.returncode == code


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the kernel's timer")
def test_the_limit_s_signal_comes_again_where_another_handler_raises_into_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", RAISED_INTO], timeout=HANG)

    assert done.returncode == 3


@pytest.mark.slow
async def test_of_many_actors_each_terminate_runs_and_in_reverse() -> None:
    event, command = {"seconds": LONG}, unhurried()
    async with told_to_end("ends.many", event, members=200, command=command) as (ended, _):
        pass

    members = [line for line in ended.lines if line.startswith("member")]
    assert ended.code == 0
    assert error_of(ended) == "Runtime.Stopped"
    assert members == [f"member {n}" for n in reversed(range(200))]


async def test_what_a_function_set_for_sigterm_has_its_turn_when_the_tree_has_ended() -> None:
    async with told_to_end("told.handler", {}) as (ended, _):
        pass

    assert ended.lines[-2:] == ["member 0", "told of 15"]
    assert ended.code == 5


@pytest.mark.slow
async def test_of_a_sigint_only_okibi_is_told() -> None:
    async with told_to_end("told.handler", {}, signal.SIGINT) as (ended, _):
        pass

    assert not any("told of" in line for line in ended.lines)
    assert ended.code == 0


@pytest.mark.parametrize("held", [slow(False), True])
async def test_a_tree_that_gives_up_asks_for_no_other_event_and_is_held_by_nobody(
    held: bool,
) -> None:
    results = dict[str, InvokeResult]()

    async with running("gives_up.function", timeout=1.0) as sandbox:

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
        # It has waited for the next process, and was not given to the one that ended.
        assert results["after"].function_error is None
        assert int(results["after"].payload) != first
