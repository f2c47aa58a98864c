"""Elixir's dynamic_supervisor_test, case by case.

Adapted in all cases: the reasons are okibi's. Elixir ends a child with an exit signal; these tests
kill the child or ask it to exit.
"""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Name, Server
from okibi.supervisors import (
    AutoShutdown,
    Child,
    ChildFailed,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    SpecError,
    SupervisorSpec,
    append_arguments,
    supervise,
)
from tests.conformance.dynamic_steps import child, perform

COUNT = ["count_children"]
WHICH = ["which_children"]
TEMPORARY = {"restart": "temporary"}
TRANSIENT = {"restart": "transient"}


@attrs.define(eq=False)
class Worker(Server):
    arguments: tuple[str, ...] = ()

    async def get_arguments(self) -> tuple[str, ...]:
        return self.arguments


POOL = Name("pool", DynamicSupervisor)


async def test_can_be_supervised_directly() -> None:
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec([Child(DynamicSupervisorSpec(), name=POOL)]))
        assert await POOL.call(DynamicSupervisor.which_children) == ()
        top.stop()


async def test_multiple_supervisors_can_be_supervised_and_identified_with_simple_child_spec() -> (
    None
):
    """Adapted: without names, the two need ids. Equal ids are refused when the spec is made."""
    with pytest.raises(SpecError, match="two children have the id 'dynamic'"):
        SupervisorSpec([Child(DynamicSupervisorSpec()), Child(DynamicSupervisorSpec())])
    async with trio.open_nursery() as nursery:
        pools = [Child(DynamicSupervisorSpec()), Child(DynamicSupervisorSpec(), name=POOL)]
        top = await supervise(nursery, SupervisorSpec(pools))
        assert await POOL.call(DynamicSupervisor.which_children) == ()
        top.stop()


def test_init_1_set_default_options() -> None:
    assert DynamicSupervisorSpec() == DynamicSupervisorSpec(
        max_children=None, intensity=3, period=5.0, extra_arguments=()
    )


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ({"intensity": -1}, SpecError),
        ({"period": 0}, SpecError),
        ({"max_children": -1}, SpecError),
        ({"extra_arguments": -1}, SpecError),
        ({"strategy": "unknown"}, TypeError),
        ({"auto_shutdown": AutoShutdown.ANY_SIGNIFICANT}, TypeError),
    ],
)
def test_start_link_3_with_non_ok_init(flags: dict[str, object], error: type[Exception]) -> None:
    """Adapted: there is one strategy and no auto-shutdown mode, so neither is a field."""
    with pytest.raises(error) as refused:
        DynamicSupervisorSpec(**flags)  # type: ignore[arg-type]
    assert getattr(refused.value, "field", None) in (None, *flags)


async def test_start_link_3_with_registered_process() -> None:
    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, DynamicSupervisorSpec(), name=POOL)
        assert POOL.whereis() == pool
        pool.stop()
        await pool.wait()
        assert POOL.whereis() is None


def test_start_child_2_supports_new_child_spec() -> None:
    assert perform(child("a")) == [("ok a1", "start a1")]


async def test_start_child_2_supports_extra_arguments() -> None:
    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, DynamicSupervisorSpec(extra_arguments=(("extra",),)))
        worker = await pool.call(DynamicSupervisor.start_child, Child(append_arguments(Worker)))
        assert worker is not None
        assert await worker.call(Worker.get_arguments) == ("extra",)
        pool.stop()


def test_start_child_2_with_invalid_child_spec() -> None:
    """Adapted: an invalid Child raises when made, before any request."""
    with pytest.raises(SpecError, match="start must be "):
        Child(2)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="shutdown must be "):
        Child(Worker, shutdown=-1)
    assert perform(child("a", restart="transient", significant=True)) == [
        ("error bad_combination", "")
    ]


def test_start_child_2_with_different_returns() -> None:
    """Adapted: a factory returns an actor, without extra information."""
    assert perform(
        child("a", starts=["info"]),
        child("b"),
        child("c", starts=["ignore"]),
        child("d", starts=["error"]),
        child("e", starts=["junk"]),
    ) == [
        ("ok a1", "start a1"),
        ("ok b1", "start b1"),
        ("ok undefined", "ignore c1"),
        ("error failed", "fail d1"),
        ("error TypeError", "fail e1"),
    ]


@pytest.mark.parametrize("how", [ValueError, SystemExit, trio.TooSlowError])
async def test_start_child_2_with_throw_error_exit(how: type[BaseException]) -> None:
    def raises() -> Worker:
        raise how

    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, DynamicSupervisorSpec())
        with pytest.raises(ChildFailed) as failed:
            await pool.call(DynamicSupervisor.start_child, Child(raises))
        assert isinstance(failed.value.reason.error, how)
        pool.stop()


def test_start_child_2_with_max_children() -> None:
    assert perform(child("a"), max_children=0) == [("error max_children", "")]


def test_start_child_2_temporary_child_is_not_restarted_regardless_of_reason() -> None:
    assert perform(
        child("a", **TEMPORARY), ["exit", "a", "shutdown"], COUNT,
        child("b", **TEMPORARY), ["exit", "b", "x"], COUNT,
    ) == [
        ("ok a1", "start a1"), (None, "term a1 shutdown"), ([0, 0, 0, 0], ""),
        ("ok b1", "start b1"), (None, "term b1 x"), ([0, 0, 0, 0], ""),
    ]  # fmt: skip


def test_start_child_2_transient_child_is_restarted_unless_normal_shutdown_shutdown() -> None:
    assert perform(
        child("a", **TRANSIENT), ["exit", "a", "shutdown"], COUNT,
        child("b", **TRANSIENT), ["exit", "b", "{shutdown,x}"], COUNT,
        child("c", **TRANSIENT), ["exit", "c", "x"], COUNT,
    ) == [
        ("ok a1", "start a1"), (None, "term a1 shutdown"), ([0, 0, 0, 0], ""),
        ("ok b1", "start b1"), (None, "term b1 {shutdown,x}"), ([0, 0, 0, 0], ""),
        ("ok c1", "start c1"), (None, "term c1 x; start c2"), ([1, 1, 0, 1], ""),
    ]  # fmt: skip


def test_start_child_2_permanent_child_is_restarted_regardless_of_reason() -> None:
    assert perform(
        child("a"), ["exit", "a", "shutdown"], COUNT,
        child("b"), ["exit", "b", "{shutdown,x}"], COUNT,
        child("c"), ["exit", "c", "x"], COUNT,
    ) == [
        ("ok a1", "start a1"), (None, "term a1 shutdown; start a2"), ([1, 1, 0, 1], ""),
        ("ok b1", "start b1"), (None, "term b1 {shutdown,x}; start b2"), ([2, 2, 0, 2], ""),
        ("ok c1", "start c1"), (None, "term c1 x; start c2"), ([3, 3, 0, 3], ""),
    ]  # fmt: skip


def test_start_child_2_child_is_restarted_with_different_values() -> None:
    """A child that ignores its restart is deleted. A failed restart is tried again.

    Adapted: Elixir retries without end and is observed between two attempts. Here, an attempt
    lasts until a step needs the supervisor.
    """
    assert perform(
        child("a", starts=["ok", "ok"]), ["kill", "a"],
        child("b", starts=["ok", "info"]), ["kill", "b"], COUNT,
        child("c", starts=["ok", "ignore"]), ["kill", "c"], COUNT,
        child("d", starts=["ok", "slow fail", "..."]), ["kill", "d"], WHICH, COUNT,
        intensity=100,
    ) == [
        ("ok a1", "start a1"), (None, "down a1 killed; start a2"),
        ("ok b1", "start b1"), (None, "down b1 killed; start b2"), ([2, 2, 0, 2], ""),
        ("ok c1", "start c1"), (None, "down c1 killed; ignore c2"), ([2, 2, 0, 2], ""),
        ("ok d1", "start d1"), (None, "down d1 killed; init d2"),
        ([["a2", "worker"], ["b2", "worker"], ["restarting", "worker"]], "fail d2; init d3"),
        ([3, 2, 0, 3], "fail d3; init d4"),
    ]  # fmt: skip


def test_start_child_2_restarting_on_init_children_counted_in_max_children() -> None:
    assert perform(
        child("a", starts=["ok", "slow fail", "..."]), ["kill", "a"], COUNT, child("b"),
        max_children=1, intensity=100,
    ) == [
        ("ok a1", "start a1"), (None, "down a1 killed; init a2"),
        ([1, 0, 0, 1], "fail a2; init a3"), ("error max_children", "fail a3; init a4"),
    ]  # fmt: skip


def test_start_child_2_restarting_on_exit_children_counted_in_max_children() -> None:
    assert perform(child("a"), ["kill", "a"], COUNT, child("b"), max_children=1) == [
        ("ok a1", "start a1"),
        (None, "down a1 killed; start a2"),
        ([1, 1, 0, 1], ""),
        ("error max_children", ""),
    ]


async def test_start_child_2_restarting_a_child_with_extra_arguments_successfully_restarts_child() -> (  # noqa: E501
    None
):
    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, DynamicSupervisorSpec(extra_arguments=(("extra",),)))
        spec = Child(append_arguments(Worker), name=Name("worker", Worker))
        worker = await pool.call(DynamicSupervisor.start_child, spec)
        assert worker is not None
        worker.kill()
        await wait_all_tasks_blocked()
        assert spec.name is not None
        assert spec.name.whereis() not in {None, worker}
        assert await spec.name.call(Worker.get_arguments) == ("extra",)
        pool.stop()


def test_start_child_2_child_is_restarted_when_trying_again() -> None:
    assert perform(child("a", starts=["ok", "error"]), ["kill", "a"], COUNT, intensity=2) == [
        ("ok a1", "start a1"),
        (None, "down a1 killed; fail a2; start a3"),
        ([1, 1, 0, 1], ""),
    ]


def test_start_child_2_child_triggers_maximum_restarts() -> None:
    """Adapted: a supervisor that gives up ends with a crash."""
    assert perform(child("a", starts=["ok", "error", "..."]), ["kill", "a"], intensity=1) == [
        ("ok a1", "start a1"),
        (None, "down a1 killed; fail a2; down top gave_up"),
    ]


def test_start_child_2_child_triggers_maximum_intensity_when_trying_again() -> None:
    """Adapted: a supervisor that gives up ends with a crash."""
    _, (_, log) = perform(child("a", starts=["ok", "error", "..."]), ["kill", "a"], intensity=10)

    assert log.split("; ")[1:] == [*(f"fail a{n}" for n in range(2, 12)), "down top gave_up"]


@pytest.mark.parametrize("shutdown", [0, 1])
def test_start_child_2_with_valid_shutdown(shutdown: int) -> None:
    assert perform(child("a", shutdown=shutdown), ["kill", "a"])[0] == ("ok a1", "start a1")


def test_start_child_2_with_invalid_valid_shutdown() -> None:
    assert perform(child("a", shutdown=-1)) == [("error invalid_shutdown", "")]


def test_terminate_2_terminates_children_with_brutal_kill() -> None:
    assert log_of_stop({"shutdown": "brutal_kill"}) == (
        "down a1 killed; down b1 killed; down c1 killed; down top shutdown"
    )


def test_terminate_2_terminates_children_with_infinity_shutdown() -> None:
    assert log_of_stop({"shutdown": "infinity"}) == ALL_ENDED


def test_terminate_2_terminates_children_with_infinity_shutdown_and_abnormal_reason() -> None:
    assert log_of_stop({"shutdown": "infinity", "terminate": "exit {shutdown,x}"}) == ALL_EXITED


def test_terminate_2_terminates_children_with_integer_shutdown() -> None:
    assert log_of_stop({"shutdown": 1000}) == ALL_ENDED


def test_terminate_2_terminates_children_with_integer_shutdown_and_abnormal_reason() -> None:
    assert log_of_stop({"shutdown": 1000, "terminate": "exit {shutdown,x}"}) == ALL_EXITED


def test_terminate_2_terminates_children_with_expired_integer_shutdown() -> None:
    assert log_of_stop({"shutdown": 1}, {"shutdown": 1, "terminate": "hang"}, {"shutdown": 1}) == (
        "term a1 shutdown; term b1 shutdown; down b1 killed; term c1 shutdown; down top shutdown"
    )


def test_terminate_2_terminates_children_with_permanent_restart_and_normal_reason() -> None:
    """Adapted: an exit from terminate with the reason normal is a return."""
    assert log_of_stop({"terminate": "exit normal"}) == ALL_ENDED


def test_terminate_2_terminates_with_mixed_children() -> None:
    assert log_of_stop({"shutdown": "infinity"}, {"shutdown": "brutal_kill"}) == (
        "term a1 shutdown; down b1 killed; down top shutdown"
    )


ALL_ENDED = "term a1 shutdown; term b1 shutdown; term c1 shutdown; down top shutdown"
ALL_EXITED = (
    "term a1 shutdown; down a1 {shutdown,x}; term b1 shutdown; down b1 {shutdown,x}; "
    "term c1 shutdown; down c1 {shutdown,x}; down top shutdown"
)


def log_of_stop(*specs: dict[str, object]) -> str:
    """Return the log of a supervisor that stops. One spec is used for three children."""
    given = specs * 3 if len(specs) == 1 else specs
    children = [child(id, **spec) for id, spec in zip("abc", given, strict=False)]  # noqa: A001
    *_, (reply, log) = perform(*children, ["stop"])
    assert reply == "shutdown"
    return log


def test_terminate_child_2_terminates_child_with_brutal_kill() -> None:
    """Adapted: a second request is no error, as in OTP."""
    assert perform(
        child("a", shutdown="brutal_kill"),
        ["terminate_child", "<a>"],
        ["terminate_child", "<a>"],
        COUNT,
    ) == [("ok a1", "start a1"), ("ok", "down a1 killed"), ("ok", ""), ([0, 0, 0, 0], "")]


def test_terminate_child_2_terminates_child_with_integer_shutdown() -> None:
    """Adapted: a second request is no error, as in OTP."""
    assert perform(
        child("a", shutdown=1000), ["terminate_child", "<a>"], ["terminate_child", "<a>"], COUNT
    ) == [("ok a1", "start a1"), ("ok", "term a1 shutdown"), ("ok", ""), ([0, 0, 0, 0], "")]


def test_terminate_child_2_terminates_restarting_child() -> None:
    """Adapted: a second request is no error, as in OTP."""
    assert perform(
        child("a", starts=["ok", "slow fail", "..."]), ["kill", "a"],
        ["terminate_child", "<a>"], ["terminate_child", "<a>"], COUNT,
        intensity=100,
    ) == [
        ("ok a1", "start a1"), (None, "down a1 killed; init a2"),
        ("ok", "fail a2"), ("ok", ""), ([0, 0, 0, 0], ""),
    ]  # fmt: skip
