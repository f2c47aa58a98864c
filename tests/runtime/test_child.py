"""A child that is forked on a loop, and goes on awaiting: the parent loses nothing to it."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from runtime import child
from tests.runtime.sandbox import FUNCTIONS, Running, running, until_idle

LANES = 8
ENDS = [("_exit", 7), ("exit", 8), ("raise", 1), ("return", 0)]


async def beside_others(sandbox: Running, **event: object) -> tuple[Any, list[list[str]]]:
    """What a handler that forks is answered, and what some that wait meanwhile have seen."""
    answers = dict[int, Any]()

    async def ask(n: int, told: Mapping[str, object]) -> None:
        answers[n] = await sandbox.ask({"n": n, **told})

    async with trio.open_nursery() as nursery:
        for n in range(1, LANES):
            nursery.start_soon(ask, n, {"do": "wait"})
        nursery.start_soon(ask, 0, event)
    return answers.pop(0), list(answers.values())


async def code_beside_others(
    tmp_path: Path, name: str, environment: dict[str, str] | None = None, **event: object
) -> Any:
    (tmp_path / "app.py").write_bytes((FUNCTIONS / "forking.py").read_bytes())
    async with running(
        f"app.{name}", task_root=tmp_path, max_concurrency=LANES, environment=environment or {}
    ) as sandbox:
        await until_idle(sandbox.function, LANES)
        code, seen = await beside_others(sandbox, **event)
        # Each has ended once, in one process, and been answered.
        assert len(seen) == LANES - 1
        longest: list[str] = max(seen, key=len)
        assert sorted(longest) == [str(n) for n in range(1, LANES)]
        await until_idle(sandbox.function, LANES)
        assert len((await beside_others(sandbox, do="wait", n=9))[1]) == LANES - 1
        assert sandbox.function.starts == 1
        assert sandbox.function.journal.refusals() == []
    return code


@pytest.mark.parametrize(("then", "code"), ENDS)
async def test_it_ends_as_it_asks_for_and_the_other_events_are_answered(
    then: str, code: int, tmp_path: Path
) -> None:
    assert await code_beside_others(tmp_path, "function", do="fork", then=then) == code


@pytest.mark.parametrize(
    ("do", "then", "code"),
    [
        # The handler's code, as it ends with that.
        ("in a task", "return", 9),
        ("in a task", "raise", 1),
        # The task's own, and the actor's over its message, or in its `init`.
        ("beside", "return", 0),
        ("beside", "raise", 1),
        ("actor", "_exit", 7),
        ("actor", "return", 0),
        ("actor", "raise", 1),
        ("init", "", 0),
        # It may do there what it likes, and ask an actor that was at rest.
        ("library", "", 7),
        ("ask", "", 7),
    ],
)
@pytest.mark.parametrize("lanes", [None, LANES])
async def test_it_ends_with_what_has_forked(
    do: str, then: str, code: int, lanes: int | None
) -> None:
    async with running("forking.function", max_concurrency=lanes) as sandbox:
        assert await sandbox.do(do, then=then) == code
        assert await sandbox.do(do, then=then) == code
        assert sandbox.function.starts == 1


async def test_the_next_message_of_an_actor_that_has_forked_is_the_parent_s_alone() -> None:
    async with running("forking.function") as sandbox:
        assert await sandbox.do("with mail") == [0, 1]
        assert sandbox.function.starts == 1


@pytest.mark.parametrize("timer", ["send_every", "send_after", "timeout_after"])
@pytest.mark.parametrize("lanes", [None, LANES])
async def test_what_an_actor_s_timer_is_to_bring_it_comes_in_the_parent_alone(
    timer: str, lanes: int | None
) -> None:
    async with running("forking.function", max_concurrency=lanes) as sandbox:
        assert await sandbox.do("timers", then=timer) == [0, 1]
        assert sandbox.function.starts == 1


@pytest.mark.parametrize(("then", "code"), ENDS)
@pytest.mark.parametrize("lanes", [None, LANES])
async def test_one_that_a_stream_forks_ends_with_its_first_piece(
    then: str, code: int, lanes: int | None
) -> None:
    async with running("forking.streams", max_concurrency=lanes) as sandbox:
        for _ in range(2):
            assert (await sandbox.invoke({"then": then})).payload == str(code).encode()


@pytest.mark.parametrize(("then", "code"), [*ENDS, ("wait", 1)])
async def test_where_trio_s_loop_is_not_known_it_has_its_first_step(then: str, code: int) -> None:
    async with running("forking.unread") as sandbox:
        for _ in range(2):
            assert await sandbox.ask({"then": then}) == code
        assert sandbox.said("a child cannot go on awaiting here") == 2 * (then == "wait")


@pytest.mark.parametrize(("then", "code"), [("return", 0), ("wait", 1)])
async def test_on_the_asyncio_loop_it_has_its_first_step(
    then: str, code: int, tmp_path: Path
) -> None:
    on = {"OKIBI_LOOP": "asyncio"}
    assert await code_beside_others(tmp_path, "on_asyncio", on, do="fork", then=then) == code


async def test_without_a_descriptor_left_it_goes_on_once_what_it_needs_is_imported() -> None:
    async with running("forking.without_descriptors", max_concurrency=LANES) as sandbox:
        codes = [await sandbox.ask({"hold": hold}) for hold in (True, False, True)]
        assert codes == [1, 7, 7]
        assert sandbox.function.starts == 1


def test_a_task_whose_error_trio_does_not_tell_ends_its_child_with_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trio's nurseries keep the errors of their tasks by a private name."""
    ended = list[BaseException | None]()
    monkeypatch.setattr(child, "end_child", ended.append)
    known: Any = SimpleNamespace(parent_nursery=SimpleNamespace(_pending_excs=[LookupError()]))
    unknown: Any = SimpleNamespace(parent_nursery=SimpleNamespace())

    for task in (known, unknown):
        child._Task(task).task_exited(task)

    assert [type(each) for each in ended] == [LookupError, type(None)]
