"""The tables of docs/compatibility.md, row by row: the official client beside okibi.

Each test runs both for real, on the local Lambda, with the same file, and checks the effect with
each. `test_compatibility_table_slots.py` holds the rows about many events at once.
"""

import json
import re
from functools import partial
from typing import Any

import pytest
import trio

from okibi.local import Direction, Fault, Faults, Invocation, RuntimeApiOptions, ShutdownResult
from tests.support.event_fate import EXITED, IN_TIME, TIMED_OUT, Fate, error_in, fate
from tests.support.http_site import site
from tests.support.sandbox import Running
from tests.support.scripted_api import ACCEPTED, event, official_and_okibi
from tests.support.side_by_side import both, skip_without_official

pytestmark = skip_without_official

ASYNCIO = {"OKIBI_LOOP": "asyncio"}
DEADLINE: dict[str, Any] = {"timeout": 1}
JSON_LOGS = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
INIT = re.compile(r"Init Duration: ([0-9.]+) ms")
MEMORY = re.compile(r"Max Memory Used: ([0-9]+) MB")


async def fates(do: str, handler: str = "table.handler", **options: Any) -> tuple[Fate, Fate]:
    """Run both clients: the official one and okibi."""
    return await both(handler, partial(fate, do=do), **options)


# -- the deadline


@pytest.mark.slow
async def test_a_def_past_its_deadline() -> None:
    async def one(do: str) -> None:
        assert await fates(do, **DEADLINE) == (TIMED_OUT, IN_TIME), do

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, "sleep")
        nursery.start_soon(one, "swallow")
    # Alone, because it uses a whole processor.
    await one("spin")


@pytest.mark.slow
async def test_an_async_def_past_its_deadline() -> None:
    options = {**DEADLINE, "own": "table.asynchronous", "environment": ASYNCIO}
    official, okibi = await fates("sleep", "table.wrapped", **options)

    assert official == TIMED_OUT
    assert okibi == IN_TIME


@pytest.mark.slow
async def test_an_async_def_that_blocks_its_loop_past_its_deadline() -> None:
    options = {**DEADLINE, "own": "table.asynchronous"}
    official, okibi = await fates("block", "table.wrapped", **options)

    assert official == TIMED_OUT
    assert okibi == Fate("Runtime.DeadlineExceeded", warm=False)


@pytest.mark.slow
async def test_c_code_that_holds_the_interpreter_past_the_deadline() -> None:
    official, okibi = await fates("hold", **DEADLINE)

    assert official == TIMED_OUT
    # The platform's time-out or the end of the process, whichever is first.
    assert okibi in (TIMED_OUT, EXITED)


# -- what ends a process


async def test_sys_exit_in_a_handler() -> None:
    official, okibi = await fates("exit")

    assert official == EXITED
    assert okibi == Fate("SystemExit", warm=True)


@pytest.mark.slow
async def test_a_keyboard_interrupt_in_a_handler() -> None:
    official, okibi = await fates("interrupt")

    assert official == EXITED
    assert okibi == Fate("KeyboardInterrupt", warm=True)


@pytest.mark.slow
async def test_an_answer_over_6_mb() -> None:
    official, okibi = await fates("huge")

    assert official == Fate("Function.ResponseSizeTooLarge", warm=False)
    assert okibi == Fate("Function.ResponseSizeTooLarge", warm=True)


@pytest.mark.slow
async def test_an_error_message_over_6_mb() -> None:
    official, okibi = await fates("huge error")

    assert official == EXITED
    assert okibi == Fate("ValueError", warm=True)


@pytest.mark.slow
async def test_an_exception_whose_str_raises() -> None:
    official, okibi = await fates("unspeakable")

    assert official == EXITED
    assert okibi == Fate("Unspeakable", warm=True)


@pytest.mark.slow
async def test_half_a_surrogate_pair_in_a_result() -> None:
    async def scenario(sandbox: Running) -> tuple[bytes, Fate]:
        event = {"do": "result", "what": "surrogate"}
        return (await sandbox.invoke(event)).payload, await fate(sandbox, **event)

    official, okibi = await both("table.handler", scenario)

    assert official[1] == EXITED
    assert okibi == (b'"\\ud800"', Fate(None, warm=True))


@pytest.mark.slow
async def test_sys_exit_at_import() -> None:
    async def scenario(sandbox: Running) -> tuple[str, str]:
        told = await sandbox.ask()
        return told["errorType"], told["errorMessage"]

    official, okibi = await both("exits.handler", scenario)

    assert official[0] == "Runtime.ExitError"
    assert "no configuration" not in official[1]
    assert okibi[0] == "SystemExit"
    assert "no configuration" in okibi[1]


@pytest.mark.slow
async def test_a_process_that_aborts() -> None:
    official, okibi = await fates("abort")

    assert official == okibi == EXITED


@pytest.mark.slow
async def test_a_connection_that_breaks_under_an_event() -> None:
    def breaking() -> RuntimeApiOptions:
        # The first response never arrives.
        return RuntimeApiOptions(faults=Faults([Fault(Direction.FROM_RUNTIME, 1, 0)]))

    async def scenario(sandbox: Running) -> tuple[object, int]:
        told = await sandbox.ask()
        return told.get("errorType") or told["served"], sandbox.function.starts

    environment = {"OKIBI_GRACEFUL_SHUTDOWN": "0"}  # its requests would be counted, too
    official, okibi = await both("table.handler", scenario, api=breaking, environment=environment)

    assert official == ("Runtime.ExitError", 1)
    assert okibi == (1, 1)


@pytest.mark.slow
async def test_a_500_of_the_runtime_api() -> None:
    (official, _), (okibi, _) = await official_and_okibi([])

    # The official client's native part now and then crashes (SIGSEGV) on its way out.
    assert official != 0
    assert okibi == 1


# -- the end, and a freeze


@pytest.mark.slow
async def test_the_end_of_a_sandbox() -> None:
    async def scenario(sandbox: Running) -> tuple[ShutdownResult, list[str]]:
        await sandbox.ask()
        ending = await sandbox.function.shut_down()
        said = [line for line in sandbox.lines if line in ("cleaned up", "rates ended")]
        return ending, said

    (official, last), (okibi, okibi_last) = await both("table.handler", scenario)
    _, (_, actor_s) = await both("table.handler", scenario, own="table_own.function")

    assert (official.sigterm_sent, official.returncode, last) == (False, -9, [])
    assert (okibi.sigterm_sent, okibi.returncode, okibi_last) == (True, 0, ["cleaned up"])
    assert actor_s == ["rates ended"]


@pytest.mark.slow
async def test_the_end_with_an_extension_and_a_signal_handler_of_one_s_own() -> None:
    async def scenario(sandbox: Running) -> tuple[bool, int, int]:
        await sandbox.invoke()
        await sandbox.function.wait_for_report()
        ending = await sandbox.function.shut_down()
        return ending.sigterm_sent, ending.returncode, sandbox.said("told of the end")

    official, okibi = await both("extended.handler", scenario)

    assert official == okibi == (True, 0, 1)


@pytest.mark.slow
async def test_a_freeze_between_two_events() -> None:
    async def scenario(sandbox: Running) -> list[str]:
        await sandbox.ask()
        await sandbox.function.wait_for_report()
        sandbox.function.freeze()
        await trio.sleep(1.8)
        await sandbox.ask()
        await trio.sleep(0.05)
        return [line for line in sandbox.lines if line in ("restored", "thawed")]

    official, okibi = await both("table.handler", scenario, own="table_own.function")

    assert official == []
    assert okibi == ["thawed"]


# -- handlers, events, results


@pytest.mark.slow
async def test_an_async_def() -> None:
    official, okibi = await fates("", "table.asynchronous")

    assert official.error == "Runtime.MarshalError"
    assert okibi == Fate(None, warm=True)


@pytest.mark.slow
async def test_a_response_is_streamed() -> None:
    async def scenario(sandbox: Running) -> tuple[bytes, str | None]:
        async with sandbox.function.stream(b"{}") as answer:
            pieces = [piece async for piece in answer]
            result = await answer.result()
        error = json.loads(result.payload)["errorType"] if result.function_error else None
        return b"".join(pieces), error

    official, okibi = await both("table.streamed", scenario)

    assert official == (b"", "Runtime.MarshalError")
    assert okibi == (b"ab", None)


@pytest.mark.slow
async def test_a_client_of_asyncio_s_kept_between_events() -> None:
    async with site() as served:

        async def scenario(sandbox: Running) -> list[str]:
            event = {"do": "ask", "url": served.url}
            return [(await sandbox.invoke(event)).payload.decode() for _ in range(3)]

        options: dict[str, Any] = {"own": "table.asynchronous", "environment": ASYNCIO}
        official, okibi = await both("table.wrapped", scenario, **options)

    assert json.loads(official[0]) == {"requests": 1}
    assert "Event loop is closed" in official[1]
    # One connection for all three events.
    assert [json.loads(each) for each in okibi] == [{"requests": n} for n in (1, 2, 3)]


async def test_a_plain_def() -> None:
    async def scenario(sandbox: Running) -> tuple[object, object]:
        told = await sandbox.ask({"do": "raise"}), await sandbox.ask()
        for each in told:
            assert each.pop("requestId", None) or each.pop("id")
            for own in ("pid", "began"):
                each.pop(own, None)
        return told

    official, okibi = await both("table.handler", scenario)

    assert official == okibi
    assert okibi[1] == {"served": 1, "main": True}


@pytest.mark.slow
async def test_state_in_module_globals_after_an_error() -> None:
    async def scenario(sandbox: Running) -> list[int]:
        counts = [(await sandbox.ask())["served"]]
        assert (await sandbox.ask({"do": "raise"}))["errorType"] == "ValueError"
        return [*counts, (await sandbox.ask())["served"]]

    official, okibi = await both("table.handler", scenario)

    assert official == okibi == [1, 2]


@pytest.mark.slow
async def test_a_worker_in_the_background_that_crashes() -> None:
    async def scenario(sandbox: Running) -> list[bool]:
        events: list[dict[str, str]] = [{}, {"do": "crash"}, {}]
        told = [await sandbox.ask(event) for event in events]
        assert sandbox.said("no such rate") > 0
        assert {each["pid"] for each in told} == {sandbox.pid}
        return [each["refreshing"] for each in told]

    official, okibi = await both("table.refreshing", scenario, own="table_own.function")

    assert official == [True, False, False]
    assert okibi == [True, True, True]


@pytest.mark.slow
async def test_an_event_of_the_wrong_shape() -> None:
    async def scenario(sandbox: Running) -> tuple[str, str]:
        told = await sandbox.ask({"do": "name", "nome": "bob"})
        return told["errorType"], told["errorMessage"]

    official, okibi = await both("table.handler", scenario, own="table_own.Greeter")

    assert official == ("KeyError", "'name'")
    assert okibi[0] == "Runtime.UnmarshalError"
    assert "missing required field `name`" in okibi[1]


@pytest.mark.slow
async def test_a_dataclass_a_date_a_uuid_or_a_set_as_a_result() -> None:
    names = ("dataclass", "datetime", "uuid", "set")

    async def scenario(sandbox: Running) -> list[object]:
        return [await sandbox.ask({"do": "result", "what": name}) for name in names]

    official, okibi = await both("table.handler", scenario)

    assert [error_in(each) for each in official] == ["Runtime.MarshalError"] * 4
    uuid = "00000000-0000-0000-0000-000000000001"
    assert okibi == [{"number": 1}, "2026-01-02T00:00:00Z", uuid, [1]]


@pytest.mark.slow
async def test_nan_in_a_result() -> None:
    async def scenario(sandbox: Running) -> bytes:
        return (await sandbox.invoke({"do": "result", "what": "nan"})).payload

    official, okibi = await both("table.handler", scenario)

    assert official == b'{"mean": NaN}'
    assert okibi == b'{"mean": null}'


@pytest.mark.slow
async def test_an_exception_group() -> None:
    async def scenario(sandbox: Running) -> tuple[str, str]:
        told = await sandbox.ask({"do": "group"})
        # After the source line that the stack trace quotes.
        return told["errorType"], "".join(told["stackTrace"]).partition("[KeyError")[2]

    official, okibi = await both("table.handler", scenario)

    assert official[0] == okibi[0] == "ExceptionGroup"
    assert "OSError: second" not in official[1]
    assert "KeyError: 'first'" in okibi[1]
    assert "OSError: second" in okibi[1]


@pytest.mark.slow
async def test_an_error_with_a_cause() -> None:
    async def scenario(sandbox: Running) -> list[str]:
        return (await sandbox.ask({"do": "cause"}))["stackTrace"]  # type: ignore[no-any-return]

    official, okibi = await both("table.handler", scenario)

    assert okibi[: len(official)] == official
    assert okibi[len(official)] == "  Caused by KeyError: 'missing'\n"
    assert ", in handler\n" in okibi[-1]


@pytest.mark.slow
async def test_the_place_of_a_value_that_is_no_json() -> None:
    async def scenario(sandbox: Running) -> tuple[object, list[str]]:
        told = await sandbox.ask({"do": "result", "what": "nested"})
        assert told.pop("requestId")
        await sandbox.function.wait_for_report()
        # Without the time and the request id.
        return told, [line.split("\t")[-1] for line in sandbox.lines if "[ERROR]" in line]

    (official, official_log), (okibi, okibi_log) = await both("table.handler", scenario)

    assert okibi == official
    place = 'result["orders"][0]: Object of type object is not JSON serializable'
    assert okibi_log == [place, *official_log]
    assert len(official_log) == 1


@pytest.mark.slow
async def test_a_log_call_that_fails() -> None:
    async def scenario(sandbox: Running) -> tuple[str | None, bool]:
        error = error_in(await sandbox.ask({"do": "bad log"}))
        await sandbox.function.wait_for_report()
        return error, sandbox.said("--- Logging error ---") > 0

    official, okibi = await both("table.handler", scenario)

    assert official == ("TypeError", False)
    assert okibi == (None, True)


@pytest.mark.slow
async def test_an_entry_of_the_log_that_ends_no_line() -> None:
    async def scenario(sandbox: Running) -> list[str]:
        await sandbox.ask({"do": "exception"})
        await sandbox.function.wait_for_report()
        return [line for line in sandbox.lines if "no such order" in line]

    official, okibi = await both("table.handler", scenario)

    assert "[WARNING]" in official[-1]
    assert okibi[-1].rstrip() == "KeyError: 'no such order'"


@pytest.mark.slow
async def test_the_log_of_a_failed_start() -> None:
    async def scenario(sandbox: Running) -> bool:
        await sandbox.ask()
        return sandbox.said("LAMBDA_WARNING") > 0

    assert await both("absent.handler", scenario) == (True, False)


@pytest.mark.slow
async def test_an_error_beyond_ascii() -> None:
    async def scenario(sandbox: Running) -> bytes:
        return (await sandbox.invoke({"do": "name"})).payload

    environment = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"}
    official, okibi = await both("table.beyond_ascii", scenario, environment=environment)

    assert b"caf\\u00e9" in official
    assert "café".encode() in okibi


@pytest.mark.slow
async def test_an_x_ray_cause_beyond_ascii() -> None:
    script = [event(b"{}", b"attempt-1"), ACCEPTED]
    causes = list[str]()
    for _, requests in await official_and_okibi(script, "table.beyond_ascii"):
        (answer,) = [each for each in requests if each.method == b"POST"]
        causes.append(answer.header(b"lambda-runtime-function-xray-error-cause"))

    official, okibi = causes
    assert '"café"' in official
    assert r'"caf\u00e9"' in okibi
    assert json.loads(official) == json.loads(okibi)


@pytest.mark.slow
async def test_an_event_of_another_content_type() -> None:
    async def scenario(sandbox: Running) -> object:
        asked = Invocation(b"{}", 10, content_type="application/json; charset=utf-8")
        return json.loads((await sandbox.function.run_invocation(asked)).payload)

    official, okibi = await both("table.kind_of_event", scenario)

    assert official == okibi == "bytes"


@pytest.mark.slow
async def test_the_level_of_a_line_in_json() -> None:
    async def scenario(sandbox: Running) -> list[str]:
        await sandbox.ask({"do": "log"})
        await sandbox.function.wait_for_report()
        lines = [json.loads(line) for line in sandbox.lines if '"said"' in line]
        return [line["level"] for line in lines]

    official, okibi = await both("table.handler", scenario, environment=JSON_LOGS)

    assert official == okibi == ["WARNING"]


@pytest.mark.slow
async def test_the_request_id_of_what_goes_on_after_its_answer() -> None:
    async def scenario(sandbox: Running) -> list[bool]:
        ids = [await sandbox.ask({"first": True}), await sandbox.ask()]
        await sandbox.function.wait_for_report()
        (said,) = [line for line in sandbox.lines if "said later" in line]
        return [each in said for each in ids]

    options: dict[str, Any] = {"own": "table.leaves_task", "environment": ASYNCIO}
    official, okibi = await both("table.leaves", scenario, **options)

    assert official == [False, True]
    assert okibi == [True, False]


@pytest.mark.slow
async def test_the_invocation_id_is_echoed() -> None:
    script = [
        event(b"{}", b"attempt-1"),
        ACCEPTED,
        event(b'{"do": "raise"}', b"attempt-2"),
        ACCEPTED,
    ]
    for _, requests in await official_and_okibi(script):
        answers = [each for each in requests if each.method == b"POST"]
        named = [each.header(b"lambda-runtime-invocation-id") for each in answers]
        assert named == ["attempt-1", "attempt-2"]


# -- where the official client is ahead


@pytest.mark.slow
async def test_the_start_of_a_sandbox() -> None:
    async def scenario(sandbox: Running) -> float:
        await sandbox.ask()
        await sandbox.function.wait_for_report()
        (took,) = INIT.findall("".join(sandbox.lines))
        return float(took)

    took = [await both("table.handler", scenario) for _ in range(8)]
    official, okibi = (min(each) for each in zip(*took, strict=True))

    assert official < okibi


@pytest.mark.slow
async def test_the_memory_of_a_sandbox() -> None:
    async def scenario(sandbox: Running) -> int:
        await sandbox.ask()
        await sandbox.function.wait_for_report()
        (peak,) = MEMORY.findall("".join(sandbox.lines))
        return int(peak)

    official, okibi = await both("table.handler", scenario)

    assert official < okibi
