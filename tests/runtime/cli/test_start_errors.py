"""What is told of a function that does not start."""

from runtime.cli.start_errors import last_said, said_itself, stood_at

DUMP = [
    "begins",
    "Timeout (0:00:08.998770)!",
    "Thread 0x00007f849c7ea340 (most recent call first):",
    '  File "/tmp/fn/hang.py", line 2 in <module>',
    '  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed',
    "INIT_REPORT Init Duration: 10000 ms\tPhase: init\tStatus: timeout",
    "begins",
]


def test_where_it_stood_is_the_innermost_line_of_the_stack_that_was_dumped() -> None:
    assert stood_at(DUMP) == 'File "/tmp/fn/hang.py", line 2 in <module>'


def test_a_line_that_only_looks_like_a_place_is_none() -> None:
    assert stood_at(['  File "/tmp/fn/hang.py", line 2 in <module>', "INIT_REPORT "]) == ""


def test_what_it_has_said_itself_ends_where_okibi_or_lambda_begins() -> None:
    assert said_itself(DUMP, "Sandbox.Timedout") == ["begins"]


def test_an_error_of_another_type_is_its_own_word() -> None:
    lines = ["[ERROR] no licence", "[ERROR]\t2026-11-28T20:00:00Z\t\tno", "[ERROR] KeyError: 'x'"]

    assert said_itself(lines, "KeyError") == lines[:2]
    assert said_itself(lines, "Runtime.ExitError") == lines


def test_the_last_that_it_has_said_is_neither_empty_nor_lambdas() -> None:
    assert last_said(["set FOO ", " ", "INIT_REPORT Init Duration: 10 ms"]) == "set FOO"
    assert last_said(["INIT_REPORT Init Duration: 10 ms"]) == ""
