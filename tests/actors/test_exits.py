"""Exit reasons: values, texts, and how they are derived from exceptions."""

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
from okibi.actors.exits import crash_in, has_keyboard_interrupt, reason_for, without_cancelled

BOOM = ValueError("boom")
ASKED = ExitReason("shutdown", "asked")
EXIT = Exit(shutdown("enough"))


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def cancelled() -> trio.Cancelled:
    """Return a real Cancelled; only trio can make one."""
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
        (None, False, ASKED, ASKED),
        (None, True, None, KILLED),
        (None, True, ASKED, KILLED),
        (CUT, False, None, SHUTDOWN),
        (CUT, False, ASKED, ASKED),
        (CUT, True, ASKED, KILLED),
        (BaseExceptionGroup("", [CUT]), False, None, SHUTDOWN),
        (BaseExceptionGroup("", [CUT]), True, None, KILLED),
        (BOOM, False, None, crashed(BOOM)),
        (BOOM, False, ASKED, crashed(BOOM)),
        (BOOM, True, ASKED, crashed(BOOM)),
        (BaseExceptionGroup("", [CUT, BOOM]), True, ASKED, crashed(BOOM)),
        (BaseExceptionGroup("", [BaseExceptionGroup("", [BOOM])]), False, None, crashed(BOOM)),
        (GROUP, False, None, crashed(GROUP)),
        (EXIT, False, None, EXIT.reason),
        (EXIT, False, ASKED, EXIT.reason),
        (BaseExceptionGroup("", [EXIT, CUT]), False, None, EXIT.reason),
    ],
)
def test_exception_counts_before_kill_before_stop_reason(
    error: BaseException | None, killed: bool, asked: ExitReason | None, reason: ExitReason
) -> None:
    assert reason_for(error, killed=killed, asked=asked) == reason


class Uncopyable(BaseExceptionGroup[BaseException]):
    """A group whose `derive` fails."""

    def derive(self, _: object) -> "Uncopyable":  # type: ignore[override]
        raise LookupError("derive")


@pytest.mark.parametrize("inner", [Uncopyable("", [BOOM, KeyError("k")]), Uncopyable("", [BOOM])])
def test_an_uncopyable_group_without_cancelled_stays_as_it_is(
    inner: Uncopyable,
) -> None:
    alone = inner if len(inner.exceptions) > 1 else BOOM

    assert without_cancelled(inner) is inner
    assert crash_in(inner) is alone
    assert crash_in(BaseExceptionGroup("", [CUT, inner])) is alone
    assert not has_keyboard_interrupt(inner)


def test_an_uncopyable_group_with_cancelled_becomes_a_plain_group() -> None:
    left = without_cancelled(Uncopyable("two", [CUT, BOOM, EXIT]))

    assert isinstance(left, BaseExceptionGroup)
    assert (left.message, left.exceptions) == ("two", (BOOM, EXIT))
    assert crash_in(Uncopyable("", [CUT, BOOM])) is BOOM
    assert crash_in(Uncopyable("", [CUT, CUT])) is None
    assert has_keyboard_interrupt(Uncopyable("", [CUT, BOOM, KeyboardInterrupt()]))


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
        (ExitReason("crashed", "sesame"), "crashed (str[6])"),
        (crashed(BOOM), "crashed (ValueError: boom)"),
        (crashed(Mute()), "crashed (Mute: <its __str__ raised RuntimeError>)"),
    ],
)
def test_a_reason_has_a_text_whatever_its_error_does(reason: ExitReason, text: str) -> None:
    assert str(reason) == text


def test_exit_without_a_reason_is_normal() -> None:
    assert Exit().reason is NORMAL


def test_actor_exited_has_the_crash_as_its_cause() -> None:
    error = ActorExited("/a", crashed(BOOM), "get()")

    assert error.__cause__ is BOOM
    assert str(error) == "/a is gone: crashed (ValueError: boom); get() failed"


def test_no_process_is_an_actor_exited_with_noproc() -> None:
    error = NoProcess("visits")

    assert isinstance(error, ActorExited)
    assert error.reason is NO_PROCESS


def test_start_error_has_path_and_reason() -> None:
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
def test_a_keyboard_interrupt_is_found_in_a_group(error: BaseException | None, found: bool) -> None:
    assert has_keyboard_interrupt(error) is found


def test_the_reason_of_an_exit_must_be_an_exit_reason() -> None:
    with pytest.raises(
        TypeError, match=r"^reason must be an ExitReason, got str\[4\]: use shutdown"
    ):
        Exit("done")  # type: ignore[arg-type]


def test_a_reason_shows_texts_and_types_but_no_values() -> None:
    assert repr(crashed(BOOM)) == "<ExitReason crashed (ValueError: boom)>"
    assert repr(shutdown({"pin": 1234})) == "<ExitReason shutdown (dict[1])>"


def test_an_exception_is_found_in_a_group_of_any_depth() -> None:
    error: Exception = BOOM
    for _ in range(10_000):
        error = ExceptionGroup("", [error])

    assert crash_in(error) is BOOM
    # Free the groups one by one; freeing all at once would recurse as deep.
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
