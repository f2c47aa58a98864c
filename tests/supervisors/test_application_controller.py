"""Applications that run: who starts when, whose end is whose, what a hook can do."""

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
from okibi.actors.names import names
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
from tests.support.application_stage import Troupe, told
from tests.support.child_stage import BOOM, Boom, alive, leave

PERMANENT, TRANSIENT, TEMPORARY = ApplicationKind


@pytest.fixture
def troupe() -> Troupe:
    return Troupe()


# -- start and stop


async def test_what_is_needed_starts_first_and_stops_last(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    base = troupe.app("a")
    top = await start_applications(
        nursery, [troupe.app("d", troupe.app("b", base), troupe.app("c", base))]
    )

    assert troupe.said() == "start a; start b; start c; start d"
    assert await told(top) == "ABCD"

    assert await stop(top) is SHUTDOWN
    assert troupe.said() == (
        "prep_stop D; term d shutdown; stop D; prep_stop C; term c shutdown; stop C; "
        "prep_stop B; term b shutdown; stop B; prep_stop A; term a shutdown; stop A"
    )


async def test_an_application_lives_under_its_name(troupe: Troupe, nursery: trio.Nursery) -> None:
    top = await start_applications(nursery, [troupe.app("a")])
    a = alive("a")
    [info] = await top.call(ApplicationController.which_applications)

    assert a is not None
    assert a.path == "/applications/A/supervisor/a"
    assert info.top is not None
    assert info.top.path == "/applications/A/supervisor"
    await stop(top)


# supervisor_SUITE: faulty_application_shutdown, A: the error is the exception itself.
async def test_faulty_application_shutdown(troupe: Troupe, nursery: trio.Nursery) -> None:
    troupe.refused = {"d1"}
    inner = Child(troupe.tree("cd"), id="inner")
    faulty = Application("faulty", SupervisorSpec([troupe.child("b"), inner]), [troupe.app("a")])

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
    assert troupe.said() == (
        "start a; start b; start c; fail d; term c shutdown; term b shutdown; "
        "prep_stop A; term a shutdown; stop A"
    )
    assert names() == {}


async def test_when_one_that_is_needed_fails_the_others_are_not_begun(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    troupe.refused = {"b1"}

    with pytest.raises(ApplicationFailed, match="application 'B' did not start"):
        await start_applications(nursery, [troupe.app("c", troupe.app("a"), troupe.app("b"))])

    assert troupe.said() == "start a; fail b; prep_stop A; term a shutdown; stop A"


@attrs.frozen
class Idle(AnySupervisorSpec):
    pass


@implements(Idle)
class Unneeded(Actor):
    def __init__(self, flags: Idle) -> None:
        pass

    async def init(self) -> None:
        raise Ignore


async def test_a_tree_that_is_not_needed_is_no_application(nursery: trio.Nursery) -> None:
    with pytest.raises(ApplicationFailed, match="/applications/idle: its tree is not needed"):
        await start_applications(nursery, [Application("idle", Idle())])


# -- ends


async def gave_up(top: Ref[Any]) -> None:
    await leave("b", BOOM)


async def done(top: Ref[Any]) -> None:
    await leave("b", NORMAL)


async def ended(reason: ExitReason, top: Ref[Any]) -> None:
    top.stop(reason)


async def killed(top: Ref[Any]) -> None:
    top.kill()


ENDS: list[tuple[Callable[[Ref[Any]], Awaitable[None]], str]] = [
    (partial(ended, NORMAL), "normal"),
    (partial(ended, SHUTDOWN), "shutdown"),
    (done, "shutdown"),
    (gave_up, "crashed"),
    (killed, "killed"),
]


@pytest.mark.parametrize(("end", "reason"), ENDS)
@pytest.mark.parametrize("kind", ApplicationKind)
async def test_the_kind_says_whether_an_end_is_the_end_of_all(
    troupe: Troupe,
    kind: ApplicationKind,
    end: Callable[[Ref[Any]], Awaitable[None]],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    child = troupe.child("b", restart=Restart.TRANSIENT, significant=True)
    tree = SupervisorSpec([child], intensity=0, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)
    last = reason not in ("normal", "shutdown")
    all_down = {PERMANENT: True, TRANSIENT: last, TEMPORARY: False}[kind]

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            b = troupe.app("b", troupe.app("a"), tree=tree, kind=kind)
            top = await start_applications(nursery, [troupe.app("c", b)])
            _, info, _ = await top.call(ApplicationController.which_applications)
            assert info.top is not None
            await end(info.top)
            await wait_all_tasks_blocked()
            assert top.alive is not all_down
            if top.alive:
                assert await told(top) == "AC"
                assert f"application 'B' ended ({reason}" in caplog.text
                await stop(top)

    if all_down:
        with pytest.raises(BaseExceptionGroup) as caught:
            await scenario()
        [error] = caught.value.exceptions
        assert isinstance(error, ApplicationEnded)
        assert (error.application, error.reason.kind) == ("B", reason)
        assert str(error).startswith(f"application 'B' ended ({reason}")
        assert isinstance(error.__cause__, SupervisorGaveUp) is (reason == "crashed")
    else:
        await scenario()
    assert troupe.said().endswith(
        "prep_stop C; term c shutdown; stop C; prep_stop A; term a shutdown; stop A"
    )
    assert names() == {}


async def test_a_tree_that_ends_by_itself_still_has_its_hooks_run(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    top = await start_applications(nursery, [troupe.app("ab", kind=TEMPORARY)])
    troupe.said()

    await leave("a")

    assert troupe.said() == "term a crashed; term b shutdown; prep_stop A; stop A"
    await stop(top)


# -- the hooks' failures


async def fail() -> None:
    raise Boom("hook")


async def fail_in_a_task() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        await trio.sleep_forever()


def forgets_to_be_async() -> None:
    pass


@pytest.mark.parametrize("which", ["prep_stop", "stop"])
@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (fail, "failed, its stop goes on: crashed (Boom: hook)"),
        (fail_in_a_task, "failed, its stop goes on: crashed (Boom: hook)"),
        (forgets_to_be_async, "failed, its stop goes on: crashed (TypeError: "),
        (trio.sleep_forever, "was cancelled after 2 s, its stop goes on"),
    ],
)
async def test_a_hook_that_fails_or_hangs_is_told_and_the_stop_goes_on(
    troupe: Troupe,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    which: str,
    hook: Any,
    said: str,
) -> None:
    fields: dict[str, Any] = {which: hook, "hook_timeout": 2}
    top = await start_applications(nursery, [troupe.app("b", troupe.app("a"), **fields)])
    troupe.said()
    began = trio.current_time()

    assert await stop(top) is SHUTDOWN

    assert trio.current_time() - began == (2 if hook is trio.sleep_forever else 0)
    assert f"/applications/B: its {which} hook {said}" in caplog.text
    other = "term b shutdown; stop B" if which == "prep_stop" else "prep_stop B; term b shutdown"
    assert troupe.said() == f"{other}; prep_stop A; term a shutdown; stop A"


@pytest.mark.parametrize("hanging", ["prep_stop", "stop"])
async def test_a_controller_whose_grace_is_over_in_a_hook_begins_no_other_and_ends(
    troupe: Troupe, nursery: trio.Nursery, autojump_clock: MockClock, hanging: str
) -> None:
    fields: dict[str, Any] = {hanging: trio.sleep_forever, "hook_timeout": math.inf}
    top = await start_applications(nursery, [troupe.app("a", **fields)])
    troupe.said()

    assert await stop(top, grace=3) is KILLED

    assert troupe.said() == ("" if hanging == "prep_stop" else "prep_stop A; term a shutdown")
    assert names() == {}


# -- asked of the controller


async def test_to_stop_one_takes_no_other_along(troupe: Troupe, nursery: trio.Nursery) -> None:
    top = await start_applications(nursery, [troupe.app("b", troupe.app("a"))])
    troupe.said()

    await top.call(ApplicationController.stop_application, "A")

    assert troupe.said() == "prep_stop A; term a shutdown; stop A"
    assert await told(top) == "B"
    with pytest.raises(NotFound, match="/applications runs no application 'A'"):
        await top.call(ApplicationController.stop_application, "A")
    await stop(top)


async def test_one_more_is_started_with_what_it_needs_and_does_not_run_yet(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    a = troupe.app("a")
    top = await start_applications(nursery, [a])
    more = troupe.app("c", a, troupe.app("b"))

    assert await top.call(ApplicationController.ensure_all_started, more) == ("B", "C")
    assert await top.call(ApplicationController.ensure_all_started, more) == ()
    assert await told(top) == "ABC"
    await stop(top)


async def test_one_more_that_fails_leaves_those_that_ran_and_no_other(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    a = troupe.app("a")
    top = await start_applications(nursery, [a])
    troupe.said()
    troupe.refused = {"c1"}

    with pytest.raises(ApplicationFailed, match="application 'C' did not start"):
        await top.call(
            ApplicationController.ensure_all_started, troupe.app("c", a, troupe.app("b"))
        )

    assert troupe.said() == "start b; fail c; prep_stop B; term b shutdown; stop B"
    assert await told(top) == "A"
    await stop(top)


async def test_another_of_a_name_that_runs_is_refused(
    troupe: Troupe, nursery: trio.Nursery
) -> None:
    top = await start_applications(nursery, [troupe.app("a")])

    with pytest.raises(SpecError, match="named 'A'"):
        await top.call(ApplicationController.ensure_all_started, troupe.app("a", kind=TEMPORARY))
    await stop(top)


async def test_a_message_that_nobody_expects_is_told(
    troupe: Troupe, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    top = await start_applications(nursery, [troupe.app("a")])
    [place] = top.process().actor.places  # type: ignore[union-attr]
    await top.send("hello")
    await Ref(place.process).send("hello")
    await wait_all_tasks_blocked()

    assert "/applications has no handle_info" in caplog.text
    assert "/applications/A has no handle_info" in caplog.text
    await stop(top)
