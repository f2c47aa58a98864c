"""One line for each event, and errors with the user's own frames."""

from pathlib import Path

import pytest

from okibi.cli.dev_output.colours import Paint
from okibi.cli.dev_output.event_lines import EventLines, Happening, describe_queued
from okibi.dev.asynchronous.queue_reports import EventDropped, EventRetried
from okibi.dev.asynchronous.retry_rules import Condition
from okibi.dev.http_reports import HttpAnswered, HttpInvoked
from okibi.dev.invocation_events import (
    FunctionFailure,
    InitFailed,
    InvocationFinished,
    InvocationStatus,
    LogLine,
    PartialFailure,
    Reloaded,
    ReloadFailed,
    SandboxEnded,
    SandboxStarted,
    SourceChanged,
)

RAISED = FunctionFailure(
    "ValueError", "no", ('  File "app.py", line 3, in handler\n    raise ValueError("no")\n',)
)
APP = Path("app.py")


def make(*names: str, coloured: bool = False) -> EventLines:
    return EventLines(dict.fromkeys(names or ("visits",), Path("src")), Paint(coloured))


def finished(
    status: InvocationStatus = InvocationStatus.OK,
    failure: FunctionFailure | None = None,
    *,
    init_ms: float | None = None,
    memory: float | None = 38.2,
    partial: PartialFailure | None = None,
) -> InvocationFinished:
    return InvocationFinished(
        "visits", 1, "id-1", status, failure, 12.34, 13, init_ms, memory, 512, partial
    )


def lines(events: EventLines, *happenings: Happening) -> list[str]:
    return [line for happening in happenings for line in events.lines(happening)]


# -- invocations


def test_an_event_gets_one_line() -> None:
    assert lines(make(), finished()) == ["visits  ok  12 ms  38 MB  id-1"]
    assert lines(make(), finished(init_ms=143.2, memory=None)) == [
        "visits  ok  12 ms  init 143 ms  id-1"
    ]


def test_a_partial_failure_is_not_shown_as_a_success() -> None:
    batch = finished(partial=PartialFailure(2, 3))

    assert lines(make(), batch) == ["visits  2 of 3 records failed  12 ms  38 MB  id-1"]
    assert "\x1b[33m2 of 3 records failed\x1b[0m" in lines(make(coloured=True), batch)[0]


def test_a_missing_module_names_its_cure() -> None:
    missing = FunctionFailure("Runtime.ImportModuleError", "No module named 'requests'")
    cure = "    install the package of requests where okibi runs: pip install requests"

    assert lines(make(), InitFailed("visits", 1, missing, 12.3))[-1] == cure
    assert lines(make(), finished(InvocationStatus.FUNCTION_ERROR, missing))[-1] == cure


def test_an_error_has_its_message_and_the_frames_of_the_user() -> None:
    assert lines(make(), finished(InvocationStatus.FUNCTION_ERROR, RAISED)) == [
        "visits  error  12 ms  38 MB  id-1",
        "    ValueError: no",
        '      File "app.py", line 3, in handler',
        '        raise ValueError("no")',
    ]


@pytest.mark.parametrize("answered_first", [True, False])
def test_the_line_of_an_http_event_has_method_path_and_status(answered_first: bool) -> None:
    events = make()
    ends: list[Happening] = [HttpAnswered("id-1", "GET", "/visits/ada", 201), finished()]

    assert events.lines(HttpInvoked("id-1", "GET", "/visits/ada")) == []
    assert lines(events, *(ends if answered_first else ends[::-1])) == [
        "visits  ok  GET /visits/ada 201  12 ms  38 MB  id-1"
    ]
    # The next invocation with this id is a retry, and has no request.
    assert lines(events, finished()) == ["visits  ok  12 ms  38 MB  id-1"]


def test_a_client_that_left_is_named() -> None:
    events = make()

    found = lines(
        events, HttpInvoked("id-1", "GET", "/"), HttpAnswered("id-1", "GET", "/", None), finished()
    )

    assert found == ["visits  ok  GET / the client left  12 ms  38 MB  id-1"]


def test_a_request_without_a_function_gets_a_line() -> None:
    assert lines(make(), HttpAnswered("", "GET", "/favicon.ico", 404)) == ["GET /favicon.ico 404"]


def test_colours_are_used_only_when_asked_for() -> None:
    plain = lines(make(), finished(InvocationStatus.TIMED_OUT, RAISED, init_ms=1))
    coloured = lines(make(coloured=True), finished(InvocationStatus.TIMED_OUT, RAISED, init_ms=1))

    assert "\x1b" not in "".join(plain)
    assert "\x1b[33mtimed out\x1b[0m" in coloured[0]
    assert coloured[1] == "\x1b[31m    ValueError: no\x1b[0m"


# -- log lines


@pytest.mark.parametrize(
    "line",
    [
        "START RequestId: id-1 Version: $LATEST",
        "END RequestId: id-1",
        "REPORT RequestId: id-1\tDuration: 1.00 ms\t",
        "INIT_REPORT Init Duration: 1.00 ms\tPhase: init\tStatus: error\t",
        "2026-11-30T16:00:00Z id-1 Task timed out after 3.00 seconds",
    ],
)
def test_what_the_line_of_an_event_says_is_not_repeated_from_the_log(line: str) -> None:
    assert lines(make(), LogLine("visits", line)) == []


def test_an_error_is_shown_once_also_if_the_invocation_is_answered() -> None:
    def error(text: str) -> LogLine:
        return LogLine("visits", f"[ERROR] {text}\rTraceback (most recent call last):\r  app.py:3")

    answered = lines(make(), error("OSError: smtp"), finished(InvocationStatus.OK, None))
    assert answered[:3] == [
        "[ERROR] OSError: smtp",
        "Traceback (most recent call last):",
        "  app.py:3",
    ]
    assert len(answered) == 4

    failed = lines(
        make(),
        error("OSError: smtp"),
        error("ValueError: no"),
        finished(InvocationStatus.TIMED_OUT, RAISED),
    )
    assert [line for line in failed if "Error: " in line] == [
        "[ERROR] OSError: smtp",
        "    ValueError: no",
    ]


def test_log_lines_have_the_name_of_their_function_if_there_are_several() -> None:
    assert lines(make(), LogLine("visits", "a\rb\r")) == ["a", "b"]
    assert lines(make("visits", "a"), LogLine("a", "x\ry")) == ["a      | x", "a      | y"]


# -- starts and reloads


def test_a_reload_of_several_functions_gets_one_line(tmp_path: Path) -> None:
    events = make("visits", "orders")

    found = lines(
        events,
        SourceChanged("visits", [APP]),
        SourceChanged("orders", [APP]),
        Reloaded("orders", 2, 90.0),
        Reloaded("visits", 2, 140.4),
    )

    assert found == ["app.py changed: 2 functions reloaded in 140 ms"]
    assert lines(events, SourceChanged("visits", [APP]), Reloaded("visits", 3, 5)) == [
        "app.py changed: visits reloaded in 5 ms"
    ]


def test_a_failed_reload_says_whether_the_last_good_version_serves() -> None:
    events = make("visits", "orders")
    failure = FunctionFailure("SyntaxError", "bad", ('  File "app.py", line 1\n    def (\n',))

    found = lines(
        events,
        SourceChanged("visits", [APP]),
        ReloadFailed("visits", failure, True),
        SourceChanged("orders", [APP]),
        ReloadFailed("orders", failure, False),
    )

    assert found == [
        "visits  app.py changed: does not start; the last good version keeps serving",
        "    SyntaxError: bad",
        '      File "app.py", line 1',
        "        def (",
        "orders  app.py changed: the same error",
    ]


def test_a_reload_that_overtakes_another_is_reported_once() -> None:
    events = make()

    found = lines(
        events,
        SourceChanged("visits", [APP]),
        SourceChanged("visits", [APP, Path("b.py")]),
        Reloaded("visits", 3, 9),
    )

    assert found == ["app.py, b.py changed: visits reloaded in 9 ms"]


def test_many_changed_files_are_counted(tmp_path: Path) -> None:
    files = [tmp_path / f"{letter}.py" for letter in "abcdef"]
    for file in files[1:]:
        file.touch()

    found = lines(make(), SourceChanged("visits", files), Reloaded("visits", 2, 1))

    # A temporary file that is gone again is not named.
    assert found == [
        f"{files[1]}, {files[2]}, {files[3]} and 2 more changed: visits reloaded in 1 ms"
    ]


def test_a_failed_start_has_the_error_and_its_place() -> None:
    frame = '  File "app.py", line 2\n    def (:'
    failure = FunctionFailure("Runtime.UserCodeSyntaxError", "invalid syntax", (frame,))

    assert lines(make(), InitFailed("visits", 1, failure, 30.0)) == [
        "visits  does not start",
        "    Runtime.UserCodeSyntaxError: invalid syntax",
        '      File "app.py", line 2',
        "        def (:",
    ]


def test_an_attached_runtime_is_reported_and_other_sandboxes_are_not() -> None:
    found = lines(
        make(),
        SandboxStarted("visits", 1, 20.0),
        SandboxEnded("visits", 1, "idle"),
        SandboxStarted("visits", 1, float("nan"), attached=True),
        SandboxEnded("visits", 1, "disconnected"),
    )

    assert found == ["visits  a runtime has attached", "visits  the runtime has left"]


# -- asynchronous events


def test_retries_and_dropped_events_get_a_line() -> None:
    found = lines(
        make(),
        EventRetried("visits", "id-1", 1, 60.0),
        EventDropped("visits", "id-1", 3, Condition.RETRIES_EXHAUSTED, Path("kept/visits.jsonl")),
    )

    assert found == [
        "visits  runs again in 60 s (failed once)  id-1",
        "visits  dropped (RetriesExhausted), kept in kept/visits.jsonl  id-1",
    ]


def test_the_events_that_have_not_ended_are_said() -> None:
    assert describe_queued({"visits": 1, "bills": 2000}, Path("kept")) == [
        "1 queued event of visits is kept; okibi dev --data kept goes on with them",
        "2,000 queued events of bills are kept; okibi dev --data kept goes on with them",
    ]
