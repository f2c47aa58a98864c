"""What a handler does not let out at its deadline is its answer, unless it knows what that was."""

import json

import pytest
import trio

from tests.runtime.sandbox import Running, running

MARGIN = {"OKIBI_DEADLINE_MARGIN_MS": "300"}
IGNORANT = ["a_batch", "a_finally", "suppressed", "a_del", "wrapped"]
KNOWING = [
    "by_name",
    "by_another_name",
    "by_attribute",
    "by_tuple",
    "by_an_import_of_its_own",
    "inside",
]


async def told(sandbox: Running, do: str) -> str:
    """What it answers with, having served another event after it in the same process."""
    pid = await sandbox.ask()
    result = await sandbox.invoke({"do": do})
    assert await sandbox.ask() == pid
    if result.function_error is None:
        return str(json.loads(result.payload))
    stack = json.loads(result.payload)["stackTrace"]
    assert stack[-1].endswith(", in works\n    time.sleep(seconds)\n")
    assert result.error_type is not None
    return result.error_type


async def told_by_each(names: list[str]) -> dict[str, str]:
    """What each answers with, in sandboxes that mostly wait: a few at once."""
    answers, turns = dict[str, str](), trio.CapacityLimiter(3)

    async def one(do: str) -> None:
        async with turns, running("swallows.plain", timeout=1.0, environment=MARGIN) as sandbox:
            answers[do] = await told(sandbox, do)

    async with trio.open_nursery() as nursery:
        for do in names:
            nursery.start_soon(one, do)
    return answers


async def test_who_swallows_it_unknown_is_answered_for_with_it() -> None:
    assert await told_by_each(IGNORANT) == dict.fromkeys(IGNORANT, "Runtime.DeadlineExceeded")


async def test_who_names_it_may_answer_with_what_there_is() -> None:
    assert await told_by_each(KNOWING) == dict.fromkeys(KNOWING, "part")


@pytest.mark.parametrize(
    ("do", "answer"), [("an_async", "Runtime.DeadlineExceeded"), ("awaited", "part")]
)
async def test_the_same_is_true_of_an_async_def_that_holds_the_loop(do: str, answer: str) -> None:
    async with running("swallows.asynchronous", timeout=1.0, environment=MARGIN) as sandbox:
        assert await told(sandbox, do) == answer


@pytest.mark.parametrize("handler", ["generates", "an_async_that_writes"])
async def test_a_stream_is_cut_by_it(handler: str) -> None:
    async with (
        running(f"swallows.{handler}", timeout=1.0, environment=MARGIN) as sandbox,
        sandbox.function.stream(b"{}") as answer,
    ):
        pieces = [piece async for piece in answer]
        result = await answer.result()

    assert b"".join(pieces).startswith(b"a")
    assert result.error_type == "Runtime.DeadlineExceeded"
