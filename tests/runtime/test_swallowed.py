"""What a handler does not let out at its deadline is its answer, unless it knows what that was."""

import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.runtime.sandbox import Running, running

IGNORANT = ["a_batch", "another_s", "deep", "a_finally", "suppressed", "a_del", "wrapped"]
WORKS = """
import contextlib, functools, time

def works(seconds=30):
    time.sleep(seconds)
"""
CATCHES = """
def handler(event, context):
    try:
        works()
    except {}:
        return "part"
"""
KNOWING = {
    "by_name": "from runtime import DeadlineExceeded" + CATCHES.format("DeadlineExceeded"),
    "by_another_name": "from runtime import DeadlineExceeded as L" + CATCHES.format("L"),
    "by_attribute": "import runtime" + CATCHES.format("runtime.DeadlineExceeded"),
    "by_attribute_of_another_name": "import runtime as r" + CATCHES.format("r.DeadlineExceeded"),
    "by_tuple": "import runtime\nE = (OSError, runtime.DeadlineExceeded)" + CATCHES.format("E"),
    "by_an_import_of_its_own": """
def handler(event, context):
    from runtime import DeadlineExceeded as MyOwn
    try:
        works()
    except MyOwn:
        return "part"
""",
    "around_a_with": """
from runtime import DeadlineExceeded

@contextlib.contextmanager
def what_there_is():
    try:
        yield
    except DeadlineExceeded:
        pass

def handler(event, context):
    with what_there_is():
        works()
    return "part"
""",
    "by_a_class": """
from runtime import DeadlineExceeded

class Part:
    def __enter__(self): ...
    def __exit__(self, kind, *_):
        return kind is DeadlineExceeded

def handler(event, context):
    with Part():
        works()
    return "part"
""",
    "by_an_async_def": "from runtime import DeadlineExceeded"
    + CATCHES.replace("def", "async def").format("DeadlineExceeded"),
    "below_a_wrapper": """
from runtime import DeadlineExceeded

def watched(function):
    @functools.wraps(function)
    def wrapper(event, context):
        try:
            return function(event, context)
        except BaseException:
            return None
    return wrapper

@watched
def handler(event, context):
    try:
        works()
    except DeadlineExceeded:
        return "part"
""",
}


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


async def at_once(serve: Callable[[str], Awaitable[str]], names: Iterable[str]) -> dict[str, str]:
    """What each answers with, in sandboxes that mostly wait: a few at once."""
    answers, turns = dict[str, str](), trio.CapacityLimiter(3)

    async def one(name: str) -> None:
        async with turns:
            answers[name] = await serve(name)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(one, name)
    return answers


async def test_who_swallows_it_unknown_is_answered_for_with_it() -> None:
    async def serve(do: str) -> str:
        async with running("swallows.plain", timeout=1.0) as sandbox:
            return await told(sandbox, do)

    answers = await at_once(serve, IGNORANT)
    assert answers == dict.fromkeys(IGNORANT, "Runtime.DeadlineExceeded")


async def test_so_is_who_swallows_it_in_a_greenlet_whose_stack_is_another() -> None:
    async with running("greenlets.handler", timeout=1.0) as sandbox:
        assert (await sandbox.invoke()).error_type == "Runtime.DeadlineExceeded"


async def test_who_names_it_may_answer_with_what_there_is(tmp_path: Path) -> None:
    async def serve(name: str) -> str:
        (tmp_path / f"{name}.py").write_text(WORKS + KNOWING[name])
        options: Any = {"task_root": tmp_path, "timeout": 1.0}
        async with running(f"{name}.handler", **options) as sandbox:
            return str(await sandbox.ask())

    assert await at_once(serve, KNOWING) == dict.fromkeys(KNOWING, "part")


async def test_the_same_is_true_of_an_async_def_that_holds_the_loop() -> None:
    async with running("swallows.asynchronous", timeout=1.0) as sandbox:
        assert await told(sandbox, "an_async") == "Runtime.DeadlineExceeded"


@pytest.mark.parametrize("handler", ["generates", "an_async_that_writes"])
async def test_a_stream_is_cut_by_it(handler: str) -> None:
    async with (
        running(f"swallows.{handler}", timeout=1.0) as sandbox,
        sandbox.function.stream(b"{}") as answer,
    ):
        pieces = [piece async for piece in answer]
        result = await answer.result()

    assert b"".join(pieces).startswith(b"a")
    assert result.error_type == "Runtime.DeadlineExceeded"
