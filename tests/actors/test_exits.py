"""Why an actor ended: the value, its text, and how it is found."""

import pytest
import trio

from okibi.actors import (
    KILLED,
    NO_PROCESS,
    NORMAL,
    SHUTDOWN,
    ActorExited,
    Exit,
    ExitReason,
    NoProcess,
    StartError,
    crashed,
    shutdown,
)
from okibi.actors.exits import crash_in, interrupted, reason_for, uncancelled

BOOM = ValueError("boom")
TOLD = ExitReason("shutdown", "told")
EXIT = Exit(shutdown("enough"))


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def cancelled() -> trio.Cancelled:
    """One of trio's own: it lets nobody else make them."""
    caught: list[trio.Cancelled] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                caught.append(error)
                raise

    trio.run(main)
    return caught[0]


CUT = cancelled()
GROUP = BaseExceptionGroup("", [BOOM, KeyError("k")])


@pytest.mark.parametrize(
    ("error", "killed", "asked", "reason"),
    [
        (None, False, None, NORMAL),
        (None, False, TOLD, TOLD),
        (None, True, None, KILLED),
        (None, True, TOLD, KILLED),
        (CUT, False, None, SHUTDOWN),
        (CUT, False, TOLD, TOLD),
        (CUT, True, TOLD, KILLED),
        (BaseExceptionGroup("", [CUT]), False, None, SHUTDOWN),
        (BaseExceptionGroup("", [CUT]), True, None, KILLED),
        (BOOM, False, None, crashed(BOOM)),
        (BOOM, False, TOLD, crashed(BOOM)),
        (BOOM, True, TOLD, crashed(BOOM)),
        (BaseExceptionGroup("", [CUT, BOOM]), True, TOLD, crashed(BOOM)),
        (BaseExceptionGroup("", [BaseExceptionGroup("", [BOOM])]), False, None, crashed(BOOM)),
        (GROUP, False, None, crashed(GROUP)),
        (EXIT, False, None, EXIT.reason),
        (EXIT, False, TOLD, EXIT.reason),
        (BaseExceptionGroup("", [EXIT, CUT]), False, None, EXIT.reason),
    ],
)
def test_the_exception_comes_first_then_the_kill_then_what_was_asked(
    error: BaseException | None, killed: bool, asked: ExitReason | None, reason: ExitReason
) -> None:
    assert reason_for(error, killed=killed, asked=asked) == reason


class Whole(BaseExceptionGroup[BaseException]):
    """It cannot be made anew."""

    def derive(self, _: object) -> "Whole":  # type: ignore[override]
        raise LookupError("derive")


@pytest.mark.parametrize("inner", [Whole("", [BOOM, KeyError("k")]), Whole("", [BOOM])])
def test_a_group_of_a_user_s_class_that_cannot_be_made_anew_is_told_of_as_it_is(
    inner: Whole,
) -> None:
    alone = inner if len(inner.exceptions) > 1 else BOOM

    assert uncancelled(inner) is inner
    assert crash_in(inner) is alone
    assert crash_in(BaseExceptionGroup("", [CUT, inner])) is alone
    assert not interrupted(inner)


def test_of_one_with_a_cancelled_in_it_the_rest_counts() -> None:
    left = uncancelled(Whole("two", [CUT, BOOM, EXIT]))

    assert isinstance(left, BaseExceptionGroup)
    assert (left.message, left.exceptions) == ("two", (BOOM, EXIT))
    assert crash_in(Whole("", [CUT, BOOM])) is BOOM
    assert crash_in(Whole("", [CUT, CUT])) is None
    assert interrupted(Whole("", [CUT, BOOM, KeyboardInterrupt()]))


@pytest.mark.parametrize("error", [SystemExit(1), BaseExceptionGroup("", [SystemExit(1)])])
def test_system_exit_is_a_crash_alone_and_in_a_group(error: BaseException) -> None:
    reason = reason_for(error, killed=False, asked=None)

    assert reason.kind == "crashed"
    assert isinstance(reason.error, SystemExit)


@pytest.mark.parametrize(
    ("reason", "quiet"),
    [
        (NORMAL, True),
        (SHUTDOWN, True),
        (shutdown("moved"), True),
        (KILLED, False),
        (NO_PROCESS, False),
        (crashed(BOOM), False),
    ],
)
def test_normal_and_shutdown_are_the_quiet_reasons(reason: ExitReason, quiet: bool) -> None:
    assert reason.quiet is quiet


def test_only_a_crash_has_an_error() -> None:
    assert crashed(BOOM).error is BOOM
    assert shutdown(BOOM).error is None
    assert NORMAL.error is None


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (NORMAL, "normal"),
        (shutdown("moved"), "shutdown ('moved')"),
        (crashed(BOOM), "crashed (ValueError: boom)"),
        (crashed(Mute()), "crashed (Mute: <its text raised RuntimeError>)"),
    ],
)
def test_a_reason_is_readable_whatever_its_error_does(reason: ExitReason, text: str) -> None:
    assert str(reason) == text


def test_exit_without_a_reason_is_normal() -> None:
    assert Exit().reason is NORMAL


def test_actor_exited_has_the_crash_as_its_cause() -> None:
    error = ActorExited("/a", crashed(BOOM), "get()")

    assert error.__cause__ is BOOM
    assert str(error) == "/a is gone: crashed (ValueError: boom), asked for get()"


def test_no_process_is_an_actor_exited_with_noproc() -> None:
    error = NoProcess("visits")

    assert isinstance(error, ActorExited)
    assert error.reason is NO_PROCESS


def test_start_error_says_who_and_why() -> None:
    error = StartError("/a", crashed(BOOM))

    assert (error.path, error.reason, error.__cause__) == ("/a", crashed(BOOM), BOOM)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (KeyboardInterrupt(), True),
        (BaseExceptionGroup("", [BOOM, BaseExceptionGroup("", [KeyboardInterrupt()])]), True),
        (GROUP, False),
        (BOOM, False),
        (None, False),
    ],
)
def test_an_interrupt_is_found_in_a_group(error: BaseException | None, found: bool) -> None:
    assert interrupted(error) is found


def test_an_exit_for_what_is_no_reason_is_refused() -> None:
    with pytest.raises(TypeError, match=r"an ExitReason, not a str\[4\]: say shutdown"):
        Exit("done")  # type: ignore[arg-type]


def test_a_reason_is_shown_by_what_it_says_never_by_a_value() -> None:
    assert repr(crashed(BOOM)) == "<ExitReason crashed (ValueError: boom)>"
    assert repr(shutdown({"pin": 1234})) == "<ExitReason shutdown (dict[1])>"


def test_an_exception_is_found_in_a_group_of_any_depth() -> None:
    error: Exception = BOOM
    for _ in range(10_000):
        error = ExceptionGroup("", [error])

    assert crash_in(error) is BOOM
    # Freed level by level: at once would be as deep.
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
