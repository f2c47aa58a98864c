"""Error responses: body, type, X-Ray cause."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import trio

from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.errors.error_response import (
    BODY_LIMIT,
    CAUSE_LIMIT,
    FRAMES,
    error_json,
    handler_error,
    init_error,
    platform_error,
)
from okibi.runtime.errors.exceptions import DeadlineExceeded, InitError, prefer_deadline
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import another_json
from tests.support.sandbox import ROOT

HERE = __file__


class Boom(Exception): ...


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def raised(make: Callable[[], BaseException], depth: int = 0) -> BaseException:
    def down(left: int) -> None:
        if left:
            down(left - 1)
        raise make()

    try:
        down(depth)
    except BaseException as error:
        return error
    raise AssertionError


def raised_by(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError


def response_to(error: BaseException) -> tuple[dict[str, Any], Outcome, dict[str, Any]]:
    """Body, outcome and X-Ray cause of the error response."""
    outcome = handler_error(error, "id-1")
    return json.loads(outcome.body), outcome, json.loads(outcome.cause or b"{}")


# -- the body


def test_the_body_is_the_official_client_s() -> None:
    body, outcome, _ = response_to(raised(lambda: Boom("no"), depth=1))

    assert list(body) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert body["errorMessage"] == "no"
    assert body["errorType"] == "Boom"
    assert body["requestId"] == "id-1"
    assert [line.split(", in ")[1].split("\n")[0] for line in body["stackTrace"]] == [
        "raised",
        "down",
        "down",
    ]
    assert body["stackTrace"][0].startswith(f'  File "{HERE}", line ')
    assert outcome.content_type == b"application/json"


def test_replacing_json_s_functions_changes_no_error_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = raised(lambda: Boom("größe"), depth=1)
    before = handler_error(error, "id-1")
    with monkeypatch.context() as patched:
        another_json(patched)
        assert handler_error(error, "id-1") == before

    assert json.loads(before.body)["errorMessage"] == "größe"


def test_the_stack_begins_at_the_user_s_first_frame() -> None:
    def users() -> None:
        json.loads("{")

    with pytest.raises(ValueError, match="Expecting") as caught:
        trio.run(trio.to_thread.run_sync, users)
    caught.value.__traceback__ = _without_this_file(caught.value.__traceback__)

    stack = response_to(caught.value)[0]["stackTrace"]

    assert ", in users\n" in stack[0]
    assert ", in raw_decode\n" in stack[-1]


def _without_this_file(trace: TracebackType | None) -> TracebackType | None:
    """A traceback as a handler's, which begins with frames of okibi and trio."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (HERE, pytest.__file__):
        trace = trace.tb_next
    return trace


def test_without_a_user_s_frame_the_stack_has_all_frames() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("1/0", "<string>", "exec"), {})
    trace = caught.value.__traceback__
    assert trace is not None
    caught.value.__traceback__ = trace.tb_next

    assert len(response_to(caught.value)[0]["stackTrace"]) == 1


def test_an_error_without_a_traceback_has_an_empty_stack() -> None:
    assert response_to(Boom("no"))[0]["stackTrace"] == []


def test_a_message_whose_str_raises_is_replaced() -> None:
    body, _, cause = response_to(raised(Mute))

    assert body["errorMessage"] == "<its __str__ raised ZeroDivisionError>"
    assert cause["exceptions"][0]["message"] == body["errorMessage"]


def test_a_huge_message_is_cut_and_the_cause_is_sent() -> None:
    body, outcome, cause = response_to(raised(lambda: Boom("x" * 50_000_000)))

    assert len(outcome.body) < BODY_LIMIT
    assert body["errorMessage"].endswith("x [cut]")
    assert cause["exceptions"][0]["type"] == "Boom"


@pytest.mark.parametrize("text", ["\ud800", "😀" * 400_000, "\0" * 400_000])
def test_the_body_is_below_its_limit_for_any_text(text: str) -> None:
    assert len(handler_error(raised(lambda: Boom(text)), "id").body) < BODY_LIMIT


def test_a_deep_recursion_has_a_short_stack() -> None:
    def forever() -> None:
        forever()

    try:
        forever()
    except RecursionError as error:
        body, outcome, cause = response_to(error)

    assert body["errorType"] == "RecursionError"
    assert "[Previous line repeated " in body["stackTrace"][-1]
    assert len(cause["exceptions"][0]["stack"]) == 100
    assert 0 < len(outcome.cause) <= CAUSE_LIMIT


def test_the_stack_lists_the_members_of_a_group() -> None:
    group = BaseExceptionGroup("two", [Boom("one"), SystemExit(2), Mute()])

    body, _, _ = response_to(raised(lambda: group))

    assert body["errorType"] == "BaseExceptionGroup"
    assert body["stackTrace"][-3:] == [
        "  Boom: one\n",
        "  SystemExit: 2\n",
        "  Mute: <its __str__ raised ZeroDivisionError>\n",
    ]


def test_a_member_s_own_frames_follow_its_line() -> None:
    group = BaseExceptionGroup("one", [raised(lambda: Boom("no"))])

    *_, line, first, last = response_to(raised(lambda: group))[0]["stackTrace"]

    assert line == "  Boom: no\n"
    assert ", in raised\n" in first
    assert ", in down\n" in last


def test_an_error_s_cause_is_in_the_stack_and_in_the_x_ray_cause() -> None:
    error = raised(lambda: Boom("no"))
    error.__cause__ = raised(lambda: OSError("disk"))

    body, _, cause = response_to(error)

    assert body["errorMessage"] == "no"
    assert body["stackTrace"][2] == "  Caused by OSError: disk\n"
    assert len(body["stackTrace"]) == 5
    assert [each["type"] for each in cause["exceptions"]] == ["Boom", "OSError"]


def test_related_errors_do_not_displace_the_error_s_own_frames() -> None:
    error = raised(lambda: Boom("no"), depth=3)
    members = [raised(lambda: ValueError("x" * 10_000)) for _ in range(500)]
    error.__cause__ = BaseExceptionGroup("many", members)

    body, outcome, _ = response_to(error)

    assert len(body["stackTrace"]) <= FRAMES
    assert body["stackTrace"][4].endswith("raise make()\n")
    assert len(outcome.body) < BODY_LIMIT
    assert 0 < len(outcome.cause) <= CAUSE_LIMIT


def test_stack_entries_have_no_column_markers() -> None:
    stack = response_to(raised_by(lambda: [1 / 0, Boom("no")]))[0]["stackTrace"]

    assert not any("^" in entry or "~" in entry for entry in stack)


def test_an_endless_source_line_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "minified.py"
    file.write_text("def f(): " + "x = 1; " * 10_000 + "1/0")
    code: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), code)

    body, outcome, _ = response_to(raised_by(code["f"]))

    assert body["stackTrace"][-1].endswith(" [cut]")
    assert len(outcome.body) < 10_000


def test_an_x_ray_cause_above_the_limit_is_shortened() -> None:
    error, *others = [raised(lambda: Boom("\0" * 20_000)) for _ in range(4)]
    error.__cause__ = BaseExceptionGroup("", others)

    _, outcome, cause = response_to(error)

    assert 0 < len(outcome.cause) <= CAUSE_LIMIT
    (exception,) = cause["exceptions"]
    assert exception["message"].endswith(" [cut]")


def test_text_beyond_ascii_is_escaped_only_in_the_x_ray_cause() -> None:
    outcome = handler_error(raised(lambda: Boom("größe")), "id")

    assert "größe".encode() in outcome.body
    assert outcome.cause.isascii()


def test_a_lone_surrogate_in_a_message_is_sent() -> None:
    assert response_to(raised(lambda: Boom("\ud800")))[0]["errorMessage"] == "\ud800"


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "sys.exit()"), ((3,), "3"), (("why",), "why")]
)
def test_the_message_of_a_sys_exit_is_its_argument(arguments: Any, message: str) -> None:
    assert response_to(SystemExit(*arguments))[0]["errorMessage"] == message


def test_the_error_of_a_handler_that_needs_asyncio_names_the_cure() -> None:
    error = raised(lambda: RuntimeError("no running event loop"))

    assert "this needs asyncio, and okibi runs it on trio" in response_to(error)[0]["errorMessage"]


def test_a_plain_def_s_asyncio_error_is_the_official_client_s() -> None:
    def handler(event: object, context: object) -> None:
        raise RuntimeError("no running event loop")

    error = raised(lambda: DeadlineInterrupt().run(handler, {}, None))

    assert response_to(error)[0]["errorMessage"] == "no running event loop"


def test_the_error_of_a_missing_asyncio_loop_names_the_cure() -> None:
    error = raised(lambda: RuntimeError("There is no current event loop in thread 'MainThread'."))

    advice = "an actor and a Resource have a loop= of their own"
    assert response_to(error)[0]["errorMessage"].endswith(advice)


def test_in_a_thread_without_a_loop_the_error_is_the_official_client_s() -> None:
    words = "There is no current event loop in thread 'worker-1'."
    error = raised(lambda: RuntimeError(words))

    assert response_to(error)[0]["errorMessage"] == words


# -- DeadlineExceeded


class Whole(BaseExceptionGroup[BaseException]):
    def derive(self, _: object) -> "Whole":  # type: ignore[override]
        raise LookupError("derive is not supported")


def test_a_deadline_takes_precedence_in_a_group() -> None:
    late = DeadlineExceeded()
    other = ValueError("a consequence")
    nested = BaseExceptionGroup("two", [other, BaseExceptionGroup("one", [late])])
    rest = ExceptionGroup("one", [other])

    assert prefer_deadline(nested) is late
    assert prefer_deadline(Whole("two", [other, late])) is late
    assert prefer_deadline(late) is late
    assert prefer_deadline(rest) is rest
    assert prefer_deadline(other) is other


def test_deadline_exceeded_is_public_and_not_an_exception() -> None:
    from okibi import runtime

    assert runtime.DeadlineExceeded is DeadlineExceeded
    assert not issubclass(DeadlineExceeded, Exception)


# -- the type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ValueError", "Function.ValueError"),
        ("Http404", "Function.Http404"),
        ("Some_Error", "Function.Some_Error"),
        ("boom", "Function.Unknown"),
        ("E", "Function.Unknown"),
        ("Größe", "Function.Unknown"),
        ("_Hidden", "Function.Unknown"),
        ("X\r\nEvil: 1", "Function.Unknown"),
    ],
)
def test_the_error_type_is_accepted_by_the_platform(name: str, expected: str) -> None:
    kind: Any = type(name, (Exception,), {})

    body, outcome, _ = response_to(raised(lambda: kind("no")))

    assert outcome.error_type == expected
    assert body["errorType"] == name


def test_an_error_of_the_runtime_has_no_stack() -> None:
    outcome = platform_error("Runtime.X", "why", "id-1")

    assert outcome.error_type == "Runtime.X"
    assert json.loads(outcome.body)["stackTrace"] == []
    assert json.loads(outcome.cause) == {
        "working_directory": os.getcwd(),
        "exceptions": [{"message": "why", "type": "Runtime.X", "stack": []}],
        "paths": [],
    }


# -- the X-Ray cause


def test_the_x_ray_cause_is_one_line() -> None:
    _, outcome, cause = response_to(raised(lambda: Boom("two\nlines")))

    assert b"\n" not in outcome.cause
    assert cause["working_directory"] == os.getcwd()
    assert cause["paths"] == [HERE]
    (exception,) = cause["exceptions"]
    assert exception["message"] == "two\nlines"
    assert exception["stack"][-1]["label"] == "down"
    assert exception["stack"][-1]["path"] == HERE
    assert isinstance(exception["stack"][-1]["line"], int)


def test_a_removed_working_directory_is_sent_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert response_to(raised(lambda: Boom("no")))[2]["working_directory"] == ""


# -- init errors


def test_an_init_error_keeps_type_text_and_the_user_s_frames() -> None:
    error = init_error(raised(lambda: Boom("no")))

    assert (error.kind, error.message) == ("Boom", "no")
    assert "in raised" in error.stack[0]
    assert str(error) == "Boom: no"


def test_an_init_error_is_returned_unchanged() -> None:
    error = InitError("Runtime.X", "why")

    assert init_error(error) is error


def test_an_init_error_s_request_id_is_empty() -> None:
    assert json.loads(error_json("Runtime.X", "why"))["requestId"] == ""


def test_the_limits_are_below_the_platform_s() -> None:
    assert CAUSE_LIMIT < 64 * 1024
    assert BODY_LIMIT < 6_291_556
    assert sys.getrecursionlimit() > 100


def test_a_long_class_name_is_cut_and_kept_out_of_the_header() -> None:
    outcome = handler_error(type("E" * 2_000_000, (Exception,), {})("x"), "id")

    assert outcome.error_type == "Function.Unknown"
    assert len(outcome.body) < 10_000
    assert len(outcome.cause) <= CAUSE_LIMIT


def error_of(act: Callable[[], object]) -> Exception:
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_first_error_response_imports_nothing() -> None:
    """At a deadline there is no time for imports."""
    run = """
import sys
from okibi.runtime.errors.error_response import handler_error
before = {*sys.modules}
try:
    1 / 0
except ZeroDivisionError as error:
    handler_error(error, "id")
print({*sys.modules} - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
