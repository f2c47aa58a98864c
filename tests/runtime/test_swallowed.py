"""What a handler does not let out at its deadline is its answer, unless it knows what that was."""

import json
from pathlib import Path
from typing import Any

import pytest

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


async def test_who_swallows_it_unknown_is_answered_for_with_it() -> None:
    async with running("swallows.plain", timeout=1.0) as sandbox:
        for do in IGNORANT:
            assert await told(sandbox, do) == "Runtime.DeadlineExceeded", do


@pytest.mark.slow
async def test_so_is_who_swallows_it_in_a_greenlet_whose_stack_is_another() -> None:
    async with running("greenlets.handler", timeout=1.0) as sandbox:
        assert (await sandbox.invoke()).error_type == "Runtime.DeadlineExceeded"


NAMED = """
import importlib

HANDLERS = {{name: importlib.import_module(name).handler for name in {names}}}

def handler(event, context):
    return HANDLERS[event["do"]](event, context)
"""


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_who_names_it_may_answer_with_what_there_is(
    asynchronous: bool, tmp_path: Path
) -> None:
    names = [name for name in KNOWING if (name == "by_an_async_def") is asynchronous]
    for name in names:
        (tmp_path / f"{name}.py").write_text(WORKS + KNOWING[name])
    (tmp_path / "named.py").write_text(NAMED.format(names=names))
    options: Any = {"task_root": tmp_path, "timeout": 1.0}
    module = names[0] if asynchronous else "named"
    async with running(f"{module}.handler", **options) as sandbox:
        for name in names:
            assert await sandbox.ask({"do": name}) == "part", name


async def test_the_same_is_true_of_an_async_def_that_holds_the_loop() -> None:
    async with running("swallows.asynchronous", timeout=1.0) as sandbox:
        assert await told(sandbox, "an_async") == "Runtime.DeadlineExceeded"


@pytest.mark.parametrize(
    "handler", ["generates", pytest.param("an_async_that_writes", marks=pytest.mark.slow)]
)
async def test_a_stream_is_cut_by_it(handler: str) -> None:
    async with (
        running(f"swallows.{handler}", timeout=1.0) as sandbox,
        sandbox.function.stream(b"{}") as answer,
    ):
        pieces = [piece async for piece in answer]
        result = await answer.result()

    assert b"".join(pieces).startswith(b"a")
    assert result.error_type == "Runtime.DeadlineExceeded"
