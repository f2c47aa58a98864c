"""Many events at once in a real process, on the local Lambda in its multi-concurrency."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import attrs
import pytest
import trio

from okibi.local import (
    Direction,
    Fault,
    Faults,
    FunctionSettings,
    LocalLambda,
    RuntimeApi,
    open_local_lambda,
)
from okibi.local.invocation import Invocation
from tests.limits import HANG
from tests.support.sandbox import COMMAND, FUNCTIONS, PYTHON, WIDE_MARGIN

LANES = 8
UNAVAILABLE = {"errorType": "Runtime.Unavailable"}
JSON = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}


@attrs.define(eq=False)
class Many:
    """A function that takes many events at once."""

    function: LocalLambda
    lines: list[str]

    async def at_once(self, count: int, timeout: float = 30, **fields: object) -> list[Any]:
        """Invoke it so often at once; what each is answered, with the trace it was sent."""
        answers: list[Any] = [None] * count

        async def invoke(n: int) -> None:
            event = json.dumps({"n": n, "of": count, **fields}).encode()
            while answers[n] is None or answers[n] == UNAVAILABLE:
                # A lane that is about to ask for its event is no idle slot yet.
                await trio.sleep(0.01)
                made = Invocation(event, timeout, trace_id=f"Root=1-{n}")
                answers[n] = json.loads((await self.function.run_invocation(made)).payload)

        async with trio.open_nursery() as nursery:
            for n in range(count):
                nursery.start_soon(invoke, n)
        return answers

    def logged(self, word: str) -> dict[str, str]:
        """Each log line that begins with a word: the request id of what follows it."""
        records = [json.loads(line) for line in self.lines if line.startswith("{")]
        told = [(r.get("message"), r.get("requestId")) for r in records]
        return {
            message.split()[1]: said
            for message, said in told
            if isinstance(message, str) and message.startswith(word + " ")
        }


@asynccontextmanager
async def many(
    handler: str,
    lanes: int = LANES,
    environment: Mapping[str, str] = MappingProxyType({}),
    api: RuntimeApi | None = None,
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


async def test_n_events_run_at_once_in_one_process_with_one_tree() -> None:
    async with many("many.few") as sandbox:
        answers = await sandbox.at_once(LANES)

        assert {answer["pid"] for answer in answers} == {sandbox.function.pid}
        assert [answer["n"] for answer in answers] == list(range(LANES))
        # The Function says two.
        assert {answer["made"] for answer in answers} == {LANES}
        assert sandbox.function.journal.refusals() == []


@pytest.mark.parametrize(
    ("handler", "words", "loop"),
    [
        ("many.on_loop", ["task", "nursery", "thread"], ""),
        ("many.in_thread", ["plain"], ""),
        ("many.on_asyncio", ["asyncio", "gathered", "executor"], "asyncio"),
        pytest.param("many.in_thread", ["plain"], "asyncio", marks=pytest.mark.slow),
    ],
)
async def test_log_lines_and_traces_are_each_event_s_own(
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


async def test_with_a_concurrency_of_one_the_variable_is_the_event_s() -> None:
    async with many("many.in_thread", lanes=1) as sandbox:
        (answer,) = await sandbox.at_once(1)

        assert answer["variable"] == answer["trace"] == "Root=1-0"


async def test_a_child_that_is_forked_in_a_thread_ends_with_its_handler() -> None:
    async with many("odd.forks") as sandbox:
        for do, code in (("exit", 7), ("exit without", 0), ("raise", 1), ("return", 0)):
            answers = await sandbox.at_once(3, do=do)
            assert answers == [[sandbox.function.pid, code]] * 3, do
        assert sandbox.function.starts == 1


async def test_a_child_that_is_forked_on_the_loop_ends_before_another_event_runs_in_it() -> None:
    async with many("many.forks") as sandbox:
        assert await sandbox.at_once(LANES) == [[sandbox.function.pid, 7, 0]] * LANES


async def test_a_child_that_a_stream_s_thread_forks_ends_with_its_first_piece() -> None:
    async with many("odd.forks_in_a_stream") as sandbox:
        assert await sandbox.at_once(2, timeout=20) == [0, 0]


async def test_more_plain_handlers_run_at_once_than_trio_has_threads() -> None:
    lanes = 48
    async with many("many.in_thread", lanes) as sandbox:
        answers = await sandbox.at_once(lanes)

        assert [answer["n"] for answer in answers] == list(range(lanes))
        assert max(answer["threads"] for answer in answers) > lanes


@pytest.mark.parametrize(
    ("handler", "loop"),
    [
        ("many.in_trio_s_thread", ""),
        pytest.param("many.in_asyncio_s_thread", "asyncio", marks=pytest.mark.slow),
    ],
)
async def test_each_event_has_a_thread_of_to_thread_whatever_the_others_have(
    handler: str, loop: str
) -> None:
    lanes = 48
    async with many(handler, lanes, environment={"OKIBI_LOOP": loop}) as sandbox:
        answers = await sandbox.at_once(lanes)

        assert [answer["n"] for answer in answers] == list(range(lanes))
        assert max(answer["threads"] for answer in answers) > lanes


async def test_what_would_end_a_thread_or_a_generator_ends_its_own_event() -> None:
    async with many("many.ends_its_thread", 2) as sandbox:
        for do, error in (
            ("stop iteration", "StopIteration"),
            ("generator exit", "GeneratorExit"),
            ("thread exit", "SystemExit"),
        ):
            (told,) = await sandbox.at_once(1, do=do)

            assert told["errorType"] == error
            assert await sandbox.at_once(2, do="nothing") == [sandbox.function.pid] * 2
        assert sandbox.function.starts == 1


async def test_an_event_past_its_deadline_leaves_the_others_alone() -> None:
    async with many("many.on_loop") as sandbox:
        # One more is waited for than comes.
        async with trio.open_nursery() as nursery:
            late: list[Any] = []

            async def wait_in_vain() -> None:
                late.extend(await sandbox.at_once(1, timeout=1.0, of=100))

            nursery.start_soon(wait_in_vain)
            await trio.sleep(0.3)
            answers = await sandbox.at_once(LANES - 1, of=2)

        assert [answer["n"] for answer in answers] == list(range(LANES - 1))
        assert late[0]["errorType"] == "Runtime.DeadlineExceeded"
        assert sandbox.function.starts == 1


async def test_an_asyncio_loop_that_is_held_is_answered_for_in_time() -> None:
    async with many("loops.here") as sandbox:
        [answer] = await sandbox.at_once(1, timeout=1.0, do="block")

        assert answer["errorType"] == "Runtime.DeadlineExceeded"


@pytest.mark.slow
async def test_many_that_compute_past_their_deadlines_do_not_end_the_process() -> None:
    # Eight turns of 5 ms. With more, on a shared core, the loop waits so long for its turn that it
    # is taken for held.
    async with many("many.computes") as sandbox:
        answers = await sandbox.at_once(LANES, timeout=1.0, seconds=0.3)
        await sandbox.at_once(1)

        late = {"Runtime.DeadlineExceeded", "Sandbox.Timedout", None}
        assert {answer.get("errorType") for answer in answers} <= late
        assert sandbox.function.starts == 1


@pytest.mark.parametrize(
    ("byte", "lost"),
    [
        pytest.param(80, [], id="head", marks=pytest.mark.slow),
        pytest.param(320, ["Runtime.TruncatedResponse"], id="body"),
    ],
)
async def test_an_answer_that_is_cut_costs_that_answer_at_most_and_the_lane_serves_on(
    byte: int, lost: list[str]
) -> None:
    # Behind each lane's first GET /next, and what the extension asks.
    cut = Fault(Direction.FROM_RUNTIME, LANES + 2, byte)
    api = RuntimeApi(max_concurrency=LANES, faults=Faults([cut]))
    async with many("many.on_loop", api=api) as sandbox:
        first = await sandbox.at_once(LANES)
        again = await sandbox.at_once(LANES)

        assert api.faults is not None
        assert api.faults.triggered == [cut]
        assert [answer["errorType"] for answer in first if "n" not in answer] == lost
        assert [answer["n"] for answer in again] == list(range(LANES))
        assert sandbox.function.starts == 1


async def test_an_error_at_init_is_the_answer_to_the_first_event() -> None:
    async with many("many.nobody") as sandbox:
        (answer,) = await sandbox.at_once(1)

        assert answer["errorType"] == "Runtime.HandlerNotFound"
