"""The sandbox as a real process: shutdown, freezing, concurrency and streaming."""

import json
import math
import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing

from okibi.local import EntryKind, InvokeResult, LocalLambda
from tests.limits import HANG
from tests.support.local_lambda import event, opened
from tests.support.sandbox import until_idle

# -- shutdown


async def test_without_an_extension_the_process_is_killed_at_once() -> None:
    async with opened("alone") as (function, lines):
        await function.invoke(b"{}")
        ending = await function.shut_down()

    assert (ending.sigterm_sent, ending.returncode) == (False, -signal.SIGKILL)
    assert "asked to end" not in lines


async def test_with_an_extension_the_process_gets_sigterm_first() -> None:
    async with opened("extension.leaves") as (function, lines):
        await function.invoke(b"{}")
        ending = await function.shut_down()

    assert (ending.sigterm_sent, ending.returncode) == (True, 0)
    assert "asked to end" in lines


async def test_a_process_that_stays_is_killed_after_its_grace_period() -> None:
    async with opened("extension.stays", grace=0.3) as (function, _):
        await function.invoke(b"{}")
        ending = await function.shut_down()

    assert (ending.sigterm_sent, ending.returncode) == (True, -signal.SIGKILL)
    assert ending.seconds >= 0.3


async def test_the_invoker_of_a_killed_sandbox_gets_exit_error() -> None:
    results: list[InvokeResult] = []

    async def invoke(function: LocalLambda) -> None:
        results.append(await function.invoke(event(do="sleep", seconds=100)))

    async with opened("alone") as (function, _), trio.open_nursery() as nursery:
        await function.invoke(b"{}")
        nursery.start_soon(invoke, function)
        while len(function.journal.times(EntryKind.DELIVERED)) < 2:  # noqa: ASYNC110
            await trio.sleep(0.001)
        await function.shut_down()

    assert [result.error_type for result in results] == ["Runtime.ExitError"]


async def test_a_time_out_sends_sigterm_and_the_next_invoke_starts_a_process() -> None:
    async with opened("extension.leaves", timeout=0.5) as (function, lines):
        await function.invoke(b"{}")
        result = await function.invoke(event(do="sleep", seconds=100))

        assert result.error_type == "Sandbox.Timedout"
        assert (await function.invoke(b"{}")).function_error is None
        assert function.starts == 2
    assert lines.count("asked to end") == 2


async def test_an_invoke_after_a_shutdown_starts_a_process() -> None:
    async with opened("alone") as (function, _):
        await function.invoke(b"{}")
        await function.shut_down()

        assert (await function.invoke(b"{}")).function_error is None
        assert function.starts == 2


async def test_shut_down_without_a_process_raises() -> None:
    async with opened() as (function, _):
        await function.invoke(event(do="exit", status=1))
        with pytest.raises(RuntimeError, match="no process is running"):
            await function.shut_down()


@pytest.mark.slow
async def test_an_extension_that_never_asks_for_events_blocks_the_init_phase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okibi.local.sandbox.sandbox.INIT_LIMIT", 0.5)
    async with opened("extension.asks_for_nothing", timeout=0.6) as (function, lines):
        function._sandbox._init_limit = 0.5
        result = await function.invoke(b"{}")

        assert result.error_type == "Sandbox.Timedout"
        assert not result.handed_out
        assert sum("\tPhase: init\tStatus: timeout\t" in line for line in lines) == 2


# -- freezing


def is_stopped(pid: int | None) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


async def until_stopped(pid: int | None) -> None:
    with trio.fail_after(HANG):
        while not is_stopped(pid):
            await trio.lowlevel.checkpoint()


async def test_the_process_group_is_frozen_between_events() -> None:
    async with opened(freeze=True) as (function, _):
        child = json.loads((await function.invoke(event(do="child"))).payload)["pid"]
        await until_stopped(function.pid)
        await until_stopped(child)
        assert function.frozen

        assert (await function.invoke(b"{}")).function_error is None
        await until_stopped(function.pid)
        assert function.starts == 1
        kinds = [entry.kind for entry in function.journal]

    # An event that waits for the runtime finds nothing frozen.
    assert kinds.count(EntryKind.FROZEN) >= 2
    assert kinds.count(EntryKind.THAWED) == kinds.count(EntryKind.FROZEN) - 1
    thawed = kinds.index(EntryKind.THAWED)
    assert kinds[thawed - 1 : thawed + 2] == [
        EntryKind.FROZEN,
        EntryKind.THAWED,
        EntryKind.DELIVERED,
    ]


async def test_the_process_can_be_frozen_by_hand() -> None:
    async with opened() as (function, _):
        await function.invoke(b"{}")
        function.freeze()
        await until_stopped(function.pid)
        function.thaw()

        assert not function.frozen
        assert (await function.invoke(b"{}")).function_error is None


# -- multi-concurrency


async def invoke_all(function: LocalLambda, *events: bytes) -> list[str | None]:
    errors: list[str | None] = [""] * len(events)

    async def invoke(index: int, payload: bytes) -> None:
        errors[index] = (await function.invoke(payload)).error_type

    async with trio.open_nursery() as nursery:
        for index, payload in enumerate(events):
            nursery.start_soon(invoke, index, payload)
    return errors


async def test_one_process_serves_concurrent_events() -> None:
    async with opened(max_concurrency=4) as (function, _):
        environment = json.loads((await function.invoke(event(do="environment"))).payload)
        await until_idle(function, 4)
        with trio.fail_after(HANG):
            waits = [event(do="sleep", seconds=0.2)] * 4
            assert await invoke_all(function, *waits) == [None] * 4
        assert function.starts == 1

    assert environment["AWS_LAMBDA_MAX_CONCURRENCY"] == "4"
    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "lambda-managed-instances"


async def test_with_multi_concurrency_a_time_out_kills_no_process() -> None:
    async with opened(max_concurrency=2, timeout=0.3) as (function, _):
        await function.invoke(b"{}")
        await until_idle(function, 2)
        pid = function.pid
        errors = await invoke_all(function, event(do="sleep", seconds=0.6), b"{}")
        assert errors == ["Sandbox.Timedout", None]
        await until_idle(function, 2)
        assert function.pid == pid

        assert function.journal.refusals() == ["InvokeTimeout"]


async def test_with_multi_concurrency_an_exit_answers_all_invokes() -> None:
    async with opened(max_concurrency=2) as (function, _):
        await function.invoke(b"{}")
        await until_idle(function, 2)
        deaths = await invoke_all(
            function, event(do="sleep", seconds=100), event(do="exit", status=1)
        )

        assert deaths == ["Runtime.ExitError"] * 2
        assert (await function.invoke(b"{}")).function_error is None
        assert function.starts == 2


# -- streaming


async def test_a_piece_is_read_before_the_next_is_written(tmp_path: Path) -> None:
    taken, size = tmp_path / "taken", 0
    async with opened() as (function, _):
        order = event(do="stream", pieces=3, size=1000, until=str(taken))
        with trio.fail_after(HANG):
            async with function.stream(order) as answer:
                async for piece in answer:
                    assert set(piece) == set(b"x")
                    size += len(piece)
                    taken.touch()
                result = await answer.result()

    assert size == 3000
    assert answer.content_type == "text/x"
    assert (result.function_error, result.payload) == (None, b"")


async def test_a_stream_that_fails_midway_ends_with_the_error() -> None:
    async with opened() as (function, _):
        async with function.stream(event(do="stream", pieces=2, size=10, fail=1)) as answer:
            read = b"".join([piece async for piece in answer])
            result = await answer.result()

        assert read == b"x" * 20
        assert (result.error_type, result.payload) == ("Function.Broke", b'{"a":1}')
        assert (await function.invoke(b"{}")).function_error is None


async def test_20_megabytes_pass_a_slow_reader_in_bounded_memory() -> None:
    order = event(do="stream", pieces=20, size=1 << 20)
    async with opened(timeout=60) as (function, _), function.stream(order) as answer:
        size = most = 0
        async for piece in answer:
            size += len(piece)
            most = max(most, answer._size)

    assert size == 20 << 20
    assert most <= 3 << 20


async def test_leaving_a_stream_early_does_not_stop_the_function() -> None:
    async with opened() as (function, _):
        async with function.stream(event(do="stream", pieces=20, size=1 << 20)) as answer:
            async for _piece in answer:
                break

        assert (await answer.result()).function_error is None
        assert (await function.invoke(b"{}")).function_error is None


async def test_a_stream_is_collected_for_a_buffered_invoke() -> None:
    async with opened() as (function, _):
        result = await function.invoke(event(do="stream", pieces=3, size=5))

        assert result.payload == b"x" * 15


async def test_the_stream_of_a_runtime_that_dies_ends_with_the_error() -> None:
    async with opened(timeout=10) as (function, _):
        order = event(do="stream", pieces=100, size=10, pause=0.1)
        async with function.stream(order) as answer:
            async for _piece in answer:
                assert function.pid is not None
                os.kill(function.pid, signal.SIGKILL)
            result = await answer.result()

        assert result.error_type == "Runtime.ExitError"
        assert not math.isnan(result.duration_ms)
