"""Messages about functions that cannot be measured."""

import json
from pathlib import Path

import attrs
import pytest

from okibi.bench.error_messages import (
    describe_error_answer,
    describe_failed_request,
    describe_failed_run,
    describe_failed_stand_in,
    describe_failed_start,
)
from okibi.bench.measured_runtime import MeasuredRuntime
from okibi.bench.results import DISK_FULL
from okibi.local import FunctionSettings, InvokeResult
from tests.bench.made_up_results import PEER, options

OKIBI, OFFICIAL = MeasuredRuntime("okibi", "app.handler"), MeasuredRuntime(PEER, "app.handler")


def answered(error_type: str, message: str = "no") -> InvokeResult:
    """An error answer."""
    payload = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return InvokeResult(200, payload, "Unhandled", error_type, "id", 1.0)


@pytest.mark.parametrize(
    ("contender", "error_type", "advice"),
    [
        (OKIBI, "ValueError", "give an event without an error, or --allow-errors"),
        (OKIBI, "Runtime.DeadlineExceeded",
         "give a longer --timeout, or an event that takes less time"),
        (OKIBI, "Sandbox.Timedout", "give a longer --timeout, or an event that takes less time"),
        (OKIBI, "Runtime.ExitError", "give an event that does not end the process"),
        (OFFICIAL, "Runtime.ExitError",
         "give an event that does not end the process, or leave out --peer to measure okibi alone"),
        (OFFICIAL, "Runtime.MarshalError",
         "give a plain def with --peer-handler, as in --peer-handler app.plain"),
        # --peer-handler has been given already.
        (MeasuredRuntime(PEER, "app.plain"), "ValueError",
         "give an event without an error, or --allow"),
    ],
)  # fmt: skip
def test_an_error_as_first_answer_is_refused_with_advice(
    contender: MeasuredRuntime, error_type: str, advice: str, tmp_path: Path
) -> None:
    message = describe_error_answer(contender, answered(error_type), options(tmp_path))

    what = f"{contender.handler} on {contender.name} fails on this event: {error_type}: no; "
    assert message.startswith(what + advice)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b'{"statusCode": 500, "body": "Internal Server Error"}', 500),
        (b'{"statusCode":504,"headers":{}}' + b"\0" * 8 + b"late", 504),
        (b'{"statusCode": 404}', None),
        (b'{"statusCode": "500"}', None),
        (b"[500]", None),
        (b"\xff", None),
    ],
)
def test_a_server_error_as_first_answer_is_refused(answer: bytes, status: int | None) -> None:
    message = describe_failed_request(OKIBI, answer, False)
    expected = f"app.handler on okibi answers this request with the status {status}; give another"
    assert message.startswith(expected) if status else message == ""
    assert describe_failed_request(OKIBI, answer, True) == ""


def test_allowed_errors_are_measured_except_an_exit(tmp_path: Path) -> None:
    allowed = options(tmp_path, allow_errors=True)

    assert describe_error_answer(OKIBI, answered("ValueError"), allowed) == ""
    assert "Runtime.ExitError" in describe_error_answer(
        OKIBI, answered("Runtime.ExitError"), allowed
    )


@pytest.mark.parametrize(
    ("error_type", "last"),
    [
        ("Runtime.ExitError", "; correct the error and try again; last log line: set FOO"),
        ("Runtime.ImportModuleError", ", and install the module's imports"),
    ],
)
def test_an_exit_in_init_is_reported_with_the_last_log_line(
    error_type: str, last: str, tmp_path: Path
) -> None:
    settings = FunctionSettings("app.handler", command=("python",), task_root=tmp_path)
    result = attrs.evolve(answered(error_type), handed_out=False)

    message = describe_failed_start(OKIBI, settings, result, ["set FOO"])
    assert message.startswith(
        f"on okibi app.handler in {tmp_path} does not start: {error_type}: no; "
    )
    assert message.endswith(last)


@pytest.mark.parametrize(
    ("errors", "cure"),
    [
        (["Function.KeyError"], ""),
        (["Runtime.DeadlineExceeded", "Sandbox.Timedout"], "; give a longer --timeout"),
        (["Sandbox.Timedout", "Function.KeyError"], ""),
    ],
)
def test_a_failed_stand_in_is_reported_and_a_late_one_has_a_cure(
    errors: list[str], cure: str
) -> None:
    assert describe_failed_stand_in(OKIBI, errors) == (
        f"app.handler on okibi: the stand-in handler answers with {', '.join(errors)}{cure}"
    )


ENDED = "the runtime has ended (exit code 3); last log line: bye"
LANES = "the runtime does not answer within 18 s; only 0 of 64 lanes connected"


@pytest.mark.parametrize(
    ("contender", "error", "advice"),
    [
        (OKIBI, ENDED, "; give an event that does not end the process"),
        (OFFICIAL, ENDED, "; leave out --peer to measure okibi alone"),
        (OKIBI, f"{ENDED}; give a longer --timeout", ""),
        (OKIBI, LANES, "; give less --concurrency"),
        (OFFICIAL, LANES, "; give less --concurrency, or leave out --peer to measure okibi alone"),
        (OKIBI, "the runtime does not answer within 18 s", ""),
        (OFFICIAL, DISK_FULL, ""),
    ],
)
def test_a_failed_run_is_reported_with_advice(
    contender: MeasuredRuntime, error: str, advice: str
) -> None:
    stderr = f"Traceback, or a warning of a library\n{error}\n"

    assert (
        describe_failed_run(contender, 1, stderr)
        == f"app.handler on {contender.name}: {error}{advice}"
    )


def test_a_batch_that_fails_as_first_answer_is_refused() -> None:
    answer = b'{"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]}'

    message = describe_failed_request(OKIBI, answer, False)
    assert message.startswith("app.handler on okibi fails on 2 records of this batch; give another")
    assert describe_failed_request(OKIBI, answer, True) == ""
    assert describe_failed_request(OKIBI, b'{"batchItemFailures": []}', False) == ""
