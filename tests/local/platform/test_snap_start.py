"""SnapStart: the snapshot after the init phase, and the restore before the first event."""

import json
from collections.abc import Callable

import pytest
import trio

from okibi.local import EntryKind, FunctionSettings, LocalLambda, RuntimeState
from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.snap_start import SnapStartPlatform
from tests.support.local_lambda import opened
from tests.support.platform_without_io import NEXT, ClassicHarness, post, state_refusal

RESTORE_NEXT = b"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n"
RESTORE_ERROR = post(
    "restore/error", b"{}", "Lambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError"
)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await trio.lowlevel.checkpoint()


async def until_snapshot(function: LocalLambda) -> None:
    await until(lambda: function.frozen)


def harness() -> ClassicHarness:
    return ClassicHarness(kind=SnapStartPlatform)


def is_initialised(harness: ClassicHarness) -> bool:
    return harness.platform.initialised


def state(harness: ClassicHarness) -> RuntimeState:
    return harness.platform.state


# -- a process


async def test_a_process_is_stopped_until_the_first_event() -> None:
    async with opened("restore.serves", snap_start=True) as (function, lines):
        await until_snapshot(function)
        result = await function.invoke(b"{}")

        assert json.loads(result.payload)["pid"] == function.pid
        assert not function.frozen
        assert function.starts == 1
    assert lines[0] == "ready for the snapshot"
    assert lines[1].startswith("INIT_REPORT Init Duration: ")
    assert lines[1].endswith("\tPhase: init\t")


async def test_a_restore_cuts_all_other_connections() -> None:
    async with opened("restore.serves", snap_start=True) as (function, lines):
        await until_snapshot(function)
        await function.invoke(b"{}")

    assert "the idle connection is closed: True" in lines


async def test_the_first_report_has_the_restore_and_no_init() -> None:
    async with opened("restore.serves", snap_start=True) as (function, lines):
        await until_snapshot(function)
        first = await function.invoke(b"{}")
        second = await function.invoke(b"{}")
        await function.wait_for_report()

    assert first.init_ms is None
    assert first.restore_ms is not None
    assert second.restore_ms is None
    (restored,) = [line for line in lines if line.startswith("RESTORE_REPORT")]
    assert restored == f"RESTORE_REPORT Restore Duration: {first.restore_ms:.2f} ms\t"
    reports = [line for line in lines if line.startswith("REPORT")]
    fields = dict(field.split(": ") for field in reports[0].strip().split("\t")[1:])
    assert list(fields)[-2:] == ["Restore Duration", "Billed Restore Duration"]
    billed = int(fields["Billed Restore Duration"].removesuffix(" ms"))
    assert billed >= first.restore_ms
    assert int(fields["Billed Duration"].removesuffix(" ms")) > billed
    assert "Restore" not in reports[1]


async def test_the_environment_names_the_initialization_type() -> None:
    async with opened("restore.serves", snap_start=True) as (function, _):
        result = await function.invoke(json.dumps({"do": "environment"}).encode())

    assert json.loads(result.payload)["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"


async def test_a_failed_restore_answers_400_and_the_next_invoke_starts_a_process() -> None:
    async with opened("restore.fails", snap_start=True) as (function, lines):
        result = await function.invoke(b"{}")
        again = await function.invoke(b"{}")

        assert function.starts == 2
    assert (result.status_code, result.error_type) == (400, "SnapStartException")
    assert not result.handed_out
    assert again.error_type == "SnapStartException"
    (line, _) = [line for line in lines if line.startswith("RESTORE_REPORT")]
    assert line.endswith("ms\tStatus: error\tError Type: SnapStartException\t")
    (entry, _) = [e for e in function.journal if e.kind is EntryKind.RESTORE_ERROR]
    assert entry.detail == "Runtime.AfterRestoreError"


async def test_a_restore_that_takes_too_long_answers_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("okibi.local.server.runtime_api.RESTORE_LIMIT", 0.1)
    async with opened("restore.hangs", snap_start=True) as (function, lines):
        result = await function.invoke(b"{}")

    assert (result.status_code, result.error_type) == (408, "SnapStartTimeoutException")
    (line,) = [line for line in lines if line.startswith("RESTORE_REPORT")]
    assert line.endswith("ms\tStatus: timeout\t")


async def test_an_exit_during_a_restore_answers_the_invoke() -> None:
    async with opened("restore.exits", snap_start=True) as (function, _):
        result = await function.invoke(b"{}")

    assert result.error_type == "Runtime.ExitError"
    assert "exit status 3" in result.payload.decode()


async def test_a_time_out_starts_a_process_that_is_restored_again() -> None:
    async with opened("restore.serves", snap_start=True, timeout=0.2) as (function, _):
        await function.invoke(json.dumps({"do": "sleep", "seconds": 100}).encode())
        result = await function.invoke(b"{}")

        assert function.starts == 2
    assert result.restore_ms is not None


async def test_a_runtime_without_restore_next_starts_as_usual() -> None:
    async with opened("app.handler", snap_start=True) as (function, _):
        result = await function.invoke(b"{}")

    assert result.function_error is None
    assert result.restore_ms is None


# -- the calls


def test_restore_next_is_answered_when_an_event_waits() -> None:
    platform = harness()
    peer = platform.connect()
    assert peer.feed(RESTORE_NEXT) == []
    assert state(platform) is RuntimeState.RESTORE_READY

    platform.offer()

    assert peer.sent[0].startswith(b"HTTP/1.1 200 OK")
    assert state(platform) is RuntimeState.RESTORING
    assert b"id-1" in peer.feed(NEXT)[0]


def test_the_snapshot_waits_for_the_extensions() -> None:
    platform = harness()
    register = b"POST /2020-01-01/extension/register HTTP/1.1\r\nHost: x\r\n"
    register += b'Lambda-Extension-Name: mine\r\nContent-Length: 13\r\n\r\n{"events":[]}'
    extension = platform.connect()
    (answer,) = extension.feed(register)
    identifier = answer.partition(b"Lambda-Extension-Identifier: ")[2].split(b"\r\n")[0]
    platform.connect().feed(RESTORE_NEXT)
    assert not is_initialised(platform)

    event_next = b"GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: x\r\n"
    event_next += b"Lambda-Extension-Identifier: %b\r\n\r\n" % identifier
    extension.feed(event_next)

    assert is_initialised(platform)
    platform.offer()
    # The connection is cut, and the extension asks again on a new one; once.
    assert platform.connect().feed(event_next) == []
    (refused,) = platform.connect().feed(event_next)
    assert refused.startswith(b"HTTP/1.1 403")


def test_calls_that_the_state_forbids_get_403() -> None:
    platform = harness()
    peer = platform.connect()
    assert peer.request(RESTORE_ERROR) == (
        403, state_refusal("Started to RuntimeRestoreErrorState")
    )  # fmt: skip
    peer.feed(NEXT)

    status, body = platform.connect().request(RESTORE_NEXT)

    assert (status, body) == (403, state_refusal("Ready to RestoreReady"))


def test_an_init_error_during_a_restore_is_a_restore_error() -> None:
    platform = harness()
    peer = platform.connect()
    peer.feed(RESTORE_NEXT)
    invocation = platform.offer()

    status, _ = peer.request(post("init/error", b"{}"))

    assert status == 202
    assert state(platform) is RuntimeState.RESTORE_ERROR
    assert invocation.outcome is not None
    assert invocation.outcome.error_type == "SnapStartException"


@pytest.mark.parametrize("request_", [RESTORE_NEXT, RESTORE_ERROR])
def test_without_snap_start_the_paths_of_a_restore_are_unknown(request_: bytes) -> None:
    platform = ClassicHarness()

    status, _ = platform.connect().request(request_)

    assert type(platform.platform) is ClassicPlatform
    assert status == 404


def test_snap_start_excludes_max_concurrency() -> None:
    text = "snap_start must be False with max_concurrency: Lambda does not combine them"
    with pytest.raises(ValueError, match=text):
        FunctionSettings("app.handler", max_concurrency=2, snap_start=True)
