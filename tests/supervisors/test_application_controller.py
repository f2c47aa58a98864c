"""Running applications: start and stop order, exits by kind, hooks, requests."""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Actor,
    ExitReason,
    Ignore,
    Ref,
    stop,
)
from okibi.actors.names import name_table
from okibi.supervisors import (
    AnySupervisorSpec,
    Application,
    ApplicationController,
    ApplicationEnded,
    ApplicationFailed,
    ApplicationKind,
    AutoShutdown,
    Child,
    NotFound,
    Restart,
    SpecError,
    SupervisorGaveUp,
    SupervisorSpec,
    start_applications,
)
from okibi.supervisors.any_supervisor_spec import implements
from tests.support.application_stage import ApplicationStage, running_names
from tests.support.child_stage import BOOM, Boom, alive, leave

PERMANENT, TRANSIENT, TEMPORARY = ApplicationKind


@pytest.fixture
def stage() -> ApplicationStage:
    return ApplicationStage()


# -- start and stop


async def test_dependencies_start_first_and_stop_last(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    base = stage.app("a")
    top = await start_applications(
        nursery, [stage.app("d", stage.app("b", base), stage.app("c", base))]
    )

    assert stage.said() == "start a; start b; start c; start d"
    assert await running_names(top) == "ABCD"

    assert await stop(top) is SHUTDOWN
    assert stage.said() == (
        "prep_stop D; term d shutdown; stop D; prep_stop C; term c shutdown; stop C; "
        "prep_stop B; term b shutdown; stop B; prep_stop A; term a shutdown; stop A"
    )


async def test_an_application_s_path_contains_its_name(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    top = await start_applications(nursery, [stage.app("a")])
    a = alive("a")
    [info] = await top.call(ApplicationController.which_applications)

    assert a is not None
    assert a.path == "/applications/A/supervisor/a"
    assert info.top is not None
    assert info.top.path == "/applications/A/supervisor"
    await stop(top)


# supervisor_SUITE: faulty_application_shutdown, A: the error is the exception itself.
async def test_faulty_application_shutdown(stage: ApplicationStage, nursery: trio.Nursery) -> None:
    stage.refused = {"d1"}
    inner = Child(stage.tree("cd"), id="inner")
    faulty = Application("faulty", SupervisorSpec([stage.child("b"), inner]), [stage.app("a")])

    with pytest.raises(ApplicationFailed) as caught:
        await start_applications(nursery, [faulty])

    failed = caught.value
    assert str(failed) == (
        "application 'faulty' did not start: /applications/faulty/supervisor/inner/d "
        "did not start: crashed (Boom: d)"
    )
    assert (failed.application, failed.path) == (
        "faulty",
        "/applications/faulty/supervisor/inner/d",
    )
    assert isinstance(failed.__cause__, Boom)
    assert failed.reason.error is failed.__cause__
    assert stage.said() == (
        "start a; start b; start c; fail d; term c shutdown; term b shutdown; "
        "prep_stop A; term a shutdown; stop A"
    )
    assert name_table() == {}


async def test_no_application_starts_after_a_failed_dependency(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    stage.refused = {"b1"}

    with pytest.raises(ApplicationFailed, match="application 'B' did not start"):
        await start_applications(nursery, [stage.app("c", stage.app("a"), stage.app("b"))])

    assert stage.said() == "start a; fail b; prep_stop A; term a shutdown; stop A"


@attrs.frozen
class NeverNeeded(AnySupervisorSpec):
    pass


@implements(NeverNeeded)
class IgnoresStart(Actor):
    def __init__(self, flags: NeverNeeded) -> None:
        pass

    async def init(self) -> None:
        raise Ignore


async def test_a_tree_that_ignores_its_start_is_refused(nursery: trio.Nursery) -> None:
    with pytest.raises(ApplicationFailed) as failed:
        await start_applications(nursery, [Application("idle", NeverNeeded())])

    assert str(failed.value) == (
        "application 'idle' did not start: /applications/idle did not start: "
        "crashed (RuntimeError: /applications/idle: the top supervisor raised Ignore in init, "
        "an application cannot run without its tree)"
    )


# -- exits of the top supervisor


async def crash_child(top: Ref[Any]) -> None:
    await leave("b", BOOM)


async def end_significant_child(top: Ref[Any]) -> None:
    await leave("b", NORMAL)


async def stop_top(reason: ExitReason, top: Ref[Any]) -> None:
    top.stop(reason)


async def kill_top(top: Ref[Any]) -> None:
    top.kill()


ENDS: list[tuple[Callable[[Ref[Any]], Awaitable[None]], str]] = [
    (partial(stop_top, NORMAL), "normal"),
    (partial(stop_top, SHUTDOWN), "shutdown"),
    (end_significant_child, "shutdown"),
    (crash_child, "crashed"),
    (kill_top, "killed"),
]


@pytest.mark.parametrize(("end", "reason"), ENDS)
@pytest.mark.parametrize("kind", ApplicationKind)
async def test_the_kind_decides_whether_an_exit_stops_all(
    stage: ApplicationStage,
    kind: ApplicationKind,
    end: Callable[[Ref[Any]], Awaitable[None]],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    child = stage.child("b", restart=Restart.TRANSIENT, significant=True)
    tree = SupervisorSpec([child], intensity=0, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    last = reason not in ("normal", "shutdown")
    all_down = {PERMANENT: True, TRANSIENT: last, TEMPORARY: False}[kind]

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            b = stage.app("b", stage.app("a"), tree=tree, kind=kind)
            top = await start_applications(nursery, [stage.app("c", b)])
            _, info, _ = await top.call(ApplicationController.which_applications)
            assert info.top is not None
            await end(info.top)
            await wait_all_tasks_blocked()
            assert top.alive is not all_down
            if top.alive:
                assert await running_names(top) == "AC"
                kept = f"its kind is {kind.value}, so the others keep running"
                assert f"application 'B' ended ({reason}" in caplog.text
                assert kept in caplog.text
                await stop(top)

    if all_down:
        with pytest.raises(BaseExceptionGroup) as caught:
            await scenario()
        [error] = caught.value.exceptions
        assert isinstance(error, ApplicationEnded)
        assert (error.application, error.reason.kind) == ("B", reason)
        assert str(error) == (
            f"application 'B' ended ({error.reason}); "
            f"its kind is {kind.value}, so all applications stop"
        )
        assert isinstance(error.__cause__, SupervisorGaveUp) is (reason == "crashed")
    else:
        await scenario()
    assert stage.said().endswith(
        "prep_stop C; term c shutdown; stop C; prep_stop A; term a shutdown; stop A"
    )
    assert name_table() == {}


async def test_hooks_run_after_the_tree_exits_by_itself(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    top = await start_applications(nursery, [stage.app("ab", kind=TEMPORARY)])
    stage.said()

    await leave("a")

    assert stage.said() == "term a crashed; term b shutdown; prep_stop A; stop A"
    await stop(top)


# -- hooks


async def fail() -> None:
    raise Boom("hook")


async def fail_in_a_task() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        await trio.sleep_forever()


def sync_hook() -> None:
    pass


@pytest.mark.parametrize("which", ["prep_stop", "stop"])
@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (fail, "failed, the stop continues: crashed (Boom: hook)"),
        (fail_in_a_task, "failed, the stop continues: crashed (Boom: hook)"),
        (sync_hook, "failed, the stop continues: crashed (TypeError: "),
        (trio.sleep_forever, "cancelled after 2 s (hook_timeout), the stop continues"),
    ],
)
async def test_the_stop_continues_after_a_failed_or_hung_hook(
    stage: ApplicationStage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    which: str,
    hook: Any,
    said: str,
) -> None:
    fields: dict[str, Any] = {which: hook, "hook_timeout": 2}
    top = await start_applications(nursery, [stage.app("b", stage.app("a"), **fields)])
    stage.said()
    began = trio.current_time()

    assert await stop(top) is SHUTDOWN

    assert trio.current_time() - began == (2 if hook is trio.sleep_forever else 0)
    assert f"/applications/B: {which} hook {said}" in caplog.text
    other = "term b shutdown; stop B" if which == "prep_stop" else "prep_stop B; term b shutdown"
    assert stage.said() == f"{other}; prep_stop A; term a shutdown; stop A"


@pytest.mark.parametrize("hanging", ["prep_stop", "stop"])
async def test_a_controller_past_its_grace_runs_no_further_hook(
    stage: ApplicationStage, nursery: trio.Nursery, autojump_clock: MockClock, hanging: str
) -> None:
    fields: dict[str, Any] = {hanging: trio.sleep_forever, "hook_timeout": math.inf}
    top = await start_applications(nursery, [stage.app("a", **fields)])
    stage.said()

    assert await stop(top, grace=3) is KILLED

    assert stage.said() == ("" if hanging == "prep_stop" else "prep_stop A; term a shutdown")
    assert name_table() == {}


# -- requests


async def test_stop_application_stops_no_other(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    top = await start_applications(nursery, [stage.app("b", stage.app("a"))])
    stage.said()

    await top.call(ApplicationController.stop_application, "A")

    assert stage.said() == "prep_stop A; term a shutdown; stop A"
    assert await running_names(top) == "B"
    with pytest.raises(NotFound, match="/applications runs no application 'A'"):
        await top.call(ApplicationController.stop_application, "A")
    await stop(top)


async def test_ensure_all_started_starts_missing_dependencies(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    a = stage.app("a")
    top = await start_applications(nursery, [a])
    more = stage.app("c", a, stage.app("b"))

    assert await top.call(ApplicationController.ensure_all_started, more) == ("B", "C")
    assert await top.call(ApplicationController.ensure_all_started, more) == ()
    assert await running_names(top) == "ABC"
    await stop(top)


async def test_a_failed_start_stops_only_its_own_dependencies(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    a = stage.app("a")
    top = await start_applications(nursery, [a])
    stage.said()
    stage.refused = {"c1"}

    with pytest.raises(ApplicationFailed, match="application 'C' did not start"):
        await top.call(ApplicationController.ensure_all_started, stage.app("c", a, stage.app("b")))

    assert stage.said() == "start b; fail c; prep_stop B; term b shutdown; stop B"
    assert await running_names(top) == "A"
    await stop(top)


async def test_a_different_application_of_a_running_name_is_refused(
    stage: ApplicationStage, nursery: trio.Nursery
) -> None:
    top = await start_applications(nursery, [stage.app("a")])

    with pytest.raises(SpecError, match="named 'A'"):
        await top.call(ApplicationController.ensure_all_started, stage.app("a", kind=TEMPORARY))
    await stop(top)


async def test_an_unexpected_message_is_logged(
    stage: ApplicationStage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    top = await start_applications(nursery, [stage.app("a")])
    [place] = top.process().actor.places  # type: ignore[union-attr]
    await top.send("hello")
    await Ref(place.process).send("hello")
    await wait_all_tasks_blocked()

    assert "/applications has no handle_info" in caplog.text
    assert "/applications/A has no handle_info" in caplog.text
    await stop(top)
