"""Several events at once in a real process, on the local Lambda with multi-concurrency."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import attrs
import pytest
import trio

from okibi.local import (
    FunctionSettings,
    LocalLambda,
    RuntimeApiOptions,
    open_local_lambda,
)
from okibi.local.platform.invocation import Invocation
from tests.limits import HANG
from tests.support.sandbox import COMMAND, FUNCTIONS, PYTHON, WIDE_MARGIN

LANES = 8
UNAVAILABLE = {"errorType": "Runtime.Unavailable"}
JSON = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}


@attrs.define(eq=False)
class Many:
    """A function that takes several events at once."""

    function: LocalLambda
    lines: list[str]

    async def at_once(self, count: int, timeout: float = 30, **fields: object) -> list[Any]:
        """Invoke the function `count` times at once; return the answers."""
        answers: list[Any] = [None] * count

        async def invoke(n: int) -> None:
            event = json.dumps({"n": n, "of": count, **fields}).encode()
            while answers[n] is None or answers[n] == UNAVAILABLE:
                # A lane that has not requested its event yet is no free slot.
                await trio.sleep(0.01)
                made = Invocation(event, timeout, trace_id=f"Root=1-{n}")
                answers[n] = json.loads((await self.function.run_invocation(made)).payload)

        async with trio.open_nursery() as nursery:
            for n in range(count):
                nursery.start_soon(invoke, n)
        return answers

    def logged(self, word: str) -> dict[str, str]:
        """The request ids of the log lines `word N`, by N."""
        records = [json.loads(line) for line in self.lines if line.startswith("{")]
        lines = [(r.get("message"), r.get("requestId")) for r in records]
        return {
            message.split()[1]: said
            for message, said in lines
            if isinstance(message, str) and message.startswith(word + " ")
        }


@asynccontextmanager
async def many(
    handler: str,
    lanes: int = LANES,
    environment: Mapping[str, str] = MappingProxyType({}),
    api: RuntimeApiOptions | None = None,
) -> AsyncGenerator[Many]:
    settings = FunctionSettings(
        handler,
        command=COMMAND,
        task_root=FUNCTIONS,
        timeout=30,
        environment={**PYTHON, **WIDE_MARGIN, **environment},
        max_concurrency=lanes,
    )
    lines: list[str] = []
    with trio.fail_after(HANG):
        async with open_local_lambda(settings, output=lines.append, api=api) as function:
            yield Many(function, lines)


async def test_n_events_run_at_once_in_one_process() -> None:
    async with many("many.few") as sandbox:
        answers = await sandbox.at_once(LANES)

        assert {answer["pid"] for answer in answers} == {sandbox.function.pid}
        assert [answer["n"] for answer in answers] == list(range(LANES))
        # The Function asks for two workers.
        assert {answer["made"] for answer in answers} == {LANES}
        assert sandbox.function.journal.refusals() == []


@pytest.mark.parametrize(
    ("handler", "words", "loop"),
    [
        ("many.on_loop", ["task", "nursery", "thread"], ""),
        ("many.in_thread", ["plain"], ""),
        pytest.param(
            "many.on_asyncio",
            ["asyncio", "gathered", "executor"],
            "asyncio",
            marks=pytest.mark.slow,
        ),
    ],
)
async def test_log_lines_and_trace_ids_belong_to_their_event(
    handler: str, words: list[str], loop: str
) -> None:
    environment = {**JSON, "_X_AMZN_TRACE_ID": "from outside", "OKIBI_LOOP": loop}
    async with many(handler, environment=environment) as sandbox:
        answers = await sandbox.at_once(LANES)
        ids = {str(answer["n"]): answer["id"] for answer in answers}
        await sandbox.function.wait_for_report()

        assert len(set(ids.values())) == LANES
        for word in words:
            assert sandbox.logged(word) == ids, word
        for answer in answers:
            trace = f"Root=1-{answer['n']}"
            assert (answer["trace"], answer["told trace"]) == (trace, trace)
            assert answer["variable"] == "from outside"


async def test_with_one_lane_the_trace_variable_is_the_event_s() -> None:
    async with many("many.in_thread", lanes=1) as sandbox:
        (answer,) = await sandbox.at_once(1)

        assert answer["variable"] == answer["trace"] == "Root=1-0"


@pytest.mark.slow
async def test_a_child_forked_in_a_thread_ends_with_its_handler() -> None:
    async with many("odd.forks") as sandbox:
        for do, code in (("exit", 7), ("exit without", 0), ("raise", 1), ("return", 0)):
            answers = await sandbox.at_once(3, do=do)
            assert answers == [[sandbox.function.pid, code]] * 3, do
        assert sandbox.function.starts == 1


@pytest.mark.slow
async def test_a_child_forked_on_the_loop_runs_no_other_event() -> None:
    async with many("many.forks") as sandbox:
        assert await sandbox.at_once(LANES) == [[sandbox.function.pid, 7, 0]] * LANES


@pytest.mark.slow
async def test_a_child_forked_in_a_stream_ends_with_its_first_piece() -> None:
    async with many("odd.forks_in_a_stream") as sandbox:
        assert await sandbox.at_once(2, timeout=20) == [0, 0]


@pytest.mark.slow
async def test_more_plain_handlers_run_at_once_than_trio_s_thread_limit() -> None:
    lanes = 48
    async with many("many.in_thread", lanes) as sandbox:
        answers = await sandbox.at_once(lanes)

        assert [answer["n"] for answer in answers] == list(range(lanes))
        assert max(answer["threads"] for answer in answers) > lanes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handler", "loop"),
    [
        ("many.in_trio_s_thread", ""),
        ("many.in_asyncio_s_thread", "asyncio"),
    ],
)
async def test_each_event_gets_a_thread_of_to_thread(handler: str, loop: str) -> None:
    lanes = 48
    async with many(handler, lanes, environment={"OKIBI_LOOP": loop}) as sandbox:
        answers = await sandbox.at_once(lanes)

        assert [answer["n"] for answer in answers] == list(range(lanes))
        assert max(answer["threads"] for answer in answers) > lanes


@pytest.mark.slow
async def test_stop_iteration_and_system_exit_fail_only_their_event() -> None:
    async with many("many.ends_its_thread", 2) as sandbox:
        for do, error in (
            ("stop iteration", "StopIteration"),
            ("generator exit", "GeneratorExit"),
            ("thread exit", "SystemExit"),
        ):
            (lines,) = await sandbox.at_once(1, do=do)

            assert lines["errorType"] == error
            assert await sandbox.at_once(2, do="nothing") == [sandbox.function.pid] * 2
        assert sandbox.function.starts == 1


@pytest.mark.slow
async def test_an_init_error_is_the_response_to_the_first_event() -> None:
    async with many("many.nobody") as sandbox:
        (answer,) = await sandbox.at_once(1)

        assert answer["errorType"] == "Runtime.HandlerNotFound"
