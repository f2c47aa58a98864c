"""Odd handlers, and frozen sandboxes, in real processes."""

import json

import pytest
import trio

from tests.limits import HANG
from tests.support.sandbox import deadline_after, process_of, running, until_handed_out


async def test_a_result_that_is_not_json_fails_only_its_invocation() -> None:
    async with running("odd.results") as sandbox:
        for what in ("object", "endless"):
            told = await sandbox.ask({"what": what})
            assert told["errorType"] == "Runtime.MarshalError", what
            assert told["errorMessage"].startswith("Unable to marshal response: ")
        assert (await sandbox.invoke({"what": "bytes"})).payload == b"\0raw"
        assert await sandbox.ask({"what": "surrogate"}) == "\ud800"
        assert await sandbox.ask({"what": "nan"}) is None
        assert await sandbox.ask({"what": "set"}) == [1]
        assert await sandbox.ask({"what": "none"}) is None
        assert sandbox.function.starts == 1


async def test_a_handler_that_closes_standard_output_is_served() -> None:
    async with running("odd.closes") as sandbox:
        pid = await sandbox.ask()
        told = await sandbox.ask({"do": "raise"})

        assert (told["errorType"], told["errorMessage"]) == ("ValueError", "no")
        assert await sandbox.ask() == pid
        assert sandbox.function.starts == 1


async def test_a_log_filter_that_raises_stops_neither_events_nor_the_end() -> None:
    async with running("logged.marked", grace=HANG) as sandbox:
        assert await sandbox.ask() == 1
        pid = sandbox.pid
        refused = await sandbox.ask({"do": "big"})
        assert refused["errorType"] == "Function.ResponseSizeTooLarge"
        assert await sandbox.ask({"do": "nan"}) is None
        assert sandbox.pid == pid
        # The line itself is lost, and the loss is logged.
        assert sandbox.said("a line could not be logged") >= 1
        assert (await sandbox.function.shut_down()).returncode == 0


@pytest.mark.slow
async def test_an_output_whose_flush_raises_loses_no_answer() -> None:
    async with running("logged.replaced") as sandbox:
        assert await sandbox.ask() == 1
        pid = sandbox.pid
        assert (await sandbox.ask({"do": "raise"}))["errorType"] == "ValueError"
        assert await sandbox.ask() == 1
        assert sandbox.pid == pid


async def test_output_without_a_line_end_is_flushed_before_the_answer() -> None:
    async with process_of("odd.unfinished") as (_, api, said):
        await api.invoke(b"{}")
        await trio.sleep(0.05)

        assert b"".join(said) == b"no newline"


@pytest.mark.slow
async def test_a_removed_working_directory_does_not_stop_serving() -> None:
    async with running("odd.moves") as sandbox:
        for _ in range(2):
            assert (await sandbox.ask())["errorMessage"] == "no"
        assert sandbox.function.starts == 1


# -- frozen between two invocations


@pytest.mark.slow
async def test_an_answer_near_the_deadline_does_not_reach_the_next_event() -> None:
    """Events whose handlers sleep until about the deadline: each gets its own answer."""
    async with running("edge.sleeps", api=deadline_after(0.4)) as sandbox:
        await sandbox.ask({"n": -1, "seconds": 0})
        seconds = [0.02, *(0.194 + n * 0.002 for n in range(5)), 0.35]
        late = list[bool]()
        for n, each in enumerate(seconds):
            result = await sandbox.invoke({"n": n, "seconds": each})
            told = json.loads(result.payload)
            late.append(told != {"n": n})
            assert not late[-1] or told["requestId"] == result.request_id
        assert (late[0], late[-1]) == (False, True)
        assert await sandbox.ask({"n": 99, "seconds": 0}) == {"n": 99}
        assert sandbox.function.starts == 1
        assert sandbox.function.journal.refusals() == []


# -- odd things on the wire


async def test_a_repeated_request_id_and_a_leaving_invoker_are_served() -> None:
    async with process_of("app.asynchronous") as (process, api, _):
        for n in range(3):
            result = await api.invoke(b'{"n": %d}' % n, request_id="again")
            assert json.loads(result.payload)["event"] == {"n": n}
        assert api.journal.refusals() == []
        with trio.move_on_after(5) as gone:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(api.invoke, b'{"do": "sleep"}')
                await until_handed_out(api)
                gone.cancel()
        assert process.returncode is None


@pytest.mark.slow
async def test_odd_headers_reach_the_context_unchanged() -> None:
    async with process_of("context.told") as (_, api, _):
        for text in ("{}", '{"custom": {"é": "ü"}}', '{"custom": "' + "x" * 20_000 + '"}'):
            result = await api.invoke(b"{}", client_context=text)
            assert result.function_error is None
            assert json.loads(result.payload)["custom"] == json.loads(text).get("custom")
        broken = await api.invoke(b"{}", client_context="{")
        assert broken.function_error is not None
        assert (await api.invoke(b"{}")).function_error is None


@pytest.mark.slow
async def test_sniffio_sees_asyncio_in_asyncio_run_of_a_plain_def() -> None:
    async with running("odd.runs_asyncio") as sandbox:
        for _ in range(2):
            assert await sandbox.ask() == ["asyncio", sandbox.pid]
