"""The pool's reports of failures, with the user's frames."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from okibi.dev.invocation_events import (
    InvocationStatus,
    PartialFailure,
    invocation_finished,
    read_failure,
)
from okibi.local import FunctionSettings, Invocation
from okibi.local.platform.outcomes import InvocationOutcome, exited, timed_out
from okibi.local.services.sample_events import sample_event

ROOT = Path("/home/me/visits")


def failed(*frames: str) -> InvocationOutcome:
    body = {"errorMessage": "no", "errorType": "KeyError", "stackTrace": frames}
    return InvocationOutcome(json.dumps(body).encode(), "Function.KeyError")


def test_a_failure_has_the_frames_in_the_users_files() -> None:
    failure = read_failure(
        failed(
            '  File "/home/me/visits/app.py", line 3, in handler\n    return find(event)\n',
            '  File "/home/me/visits/.venv/lib/site-packages/x.py", line 4, in x\n    y()\n',
            '  File "/usr/lib/python3.13/json/__init__.py", line 5, in loads\n',
        ),
        ROOT,
    )

    assert failure.frames == (
        '  File "/home/me/visits/app.py", line 3, in handler\n    return find(event)',
    )
    assert (failure.file, failure.line) == ("/home/me/visits/app.py", 3)
    assert (failure.error_type, failure.message) == ("KeyError", "no")


@pytest.mark.parametrize(
    "entry", ['  File "lib.py" Line 2\n    return (', '  File "lib.py", line 2']
)
def test_a_relative_file_is_the_users(entry: str) -> None:
    failure = read_failure(failed(entry), ROOT)

    assert (failure.file, failure.line) == ("lib.py", 2)


def test_a_failure_without_frames_has_no_file() -> None:
    assert read_failure(failed(), ROOT).file == ""


def test_a_body_that_is_no_error_becomes_the_message() -> None:
    failure = read_failure(InvocationOutcome(b"oh no", "Function.Unknown"), ROOT)

    assert (failure.error_type, failure.message) == ("Function.Unknown", "oh no")


@pytest.mark.parametrize("request_id", ["", "5dec58a3-0000-4000-8000-000000000000"])
def test_an_error_of_the_platform_is_shown_without_the_request_id(request_id: str) -> None:
    failure = read_failure(exited(request_id, 3), ROOT)

    assert failure.message == "Runtime exited with error: exit status 3"


@pytest.mark.parametrize(
    ("outcome", "handed_out", "status"),
    [
        (InvocationOutcome(b"1"), True, InvocationStatus.OK),
        (failed(), True, InvocationStatus.FUNCTION_ERROR),
        (failed(), False, InvocationStatus.INIT_ERROR),
        (exited("", 1), True, InvocationStatus.EXITED),
        (exited("", 1), False, InvocationStatus.INIT_ERROR),
        (timed_out("", 3.0), True, InvocationStatus.TIMED_OUT),
    ],
)
def test_the_outcome_decides_the_status(
    outcome: InvocationOutcome, handed_out: bool, status: InvocationStatus
) -> None:
    invocation = Invocation(b"{}", 3.0)
    invocation.outcome = outcome
    if handed_out:
        invocation.begun_at, invocation.ended_at = 10.0, 10.0015

    finished = invocation_finished(FunctionSettings("app.handler"), 1, invocation, None)

    assert finished.status is status
    assert (finished.failure is None) == (status is InvocationStatus.OK)
    assert finished.billed_ms == (2 if handed_out else 0)
    assert not math.isnan(finished.duration_ms)


def answer_to(event: object, answer: object) -> PartialFailure | None:
    invocation = Invocation(json.dumps(event).encode(), 3.0)
    invocation.outcome = InvocationOutcome(json.dumps(answer).encode())
    finished = invocation_finished(FunctionSettings("app.handler"), 1, invocation, None)
    assert finished.status is InvocationStatus.OK
    return finished.partial_failure


def name_failures(*identifiers: object) -> Any:
    return {"batchItemFailures": [{"itemIdentifier": each} for each in identifiers]}


@pytest.mark.parametrize(
    "name", ["sqs", "sqs-fifo", "kinesis", "dynamodb", "kafka", "kafka-self-managed"]
)
def test_an_answer_that_names_records_is_a_partial_failure(name: str) -> None:
    event = sample_event(name, count=3)

    assert answer_to(event, name_failures("1", {"partition": "p", "offset": 2})) == (
        PartialFailure(2, 3)
    )


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        (sample_event("sqs"), name_failures()),
        (sample_event("sqs"), {"batchItemFailures": None}),
        (sample_event("sqs"), {"batchItemFailures": "no list"}),
        (sample_event("sqs"), "batchItemFailures"),
        # No batch, and a source that knows no partial failure.
        ({"order": 1}, name_failures("1")),
        (sample_event("activemq"), name_failures("1")),
    ],
)
def test_another_answer_is_no_partial_failure(event: object, answer: object) -> None:
    assert answer_to(event, answer) is None
