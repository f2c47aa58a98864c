"""What is told of a function that does not start."""

import os

import pytest

from okibi.cli.start_errors import (
    FunctionError,
    said_itself,
    stacks_last_said,
    stood_at,
)
from okibi.runtime.handlers import function

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


IMPORT = "the import has taken 9 s, of the ten that Lambda gives an init"


@pytest.mark.parametrize(
    "head",
    [
        f"[CRITICAL]\t2026-11-29T01:40:00.000Z\t\t{IMPORT}; all stacks follow",
        f'{{"level": "CRITICAL", "message": "{IMPORT}; all stacks follow", "logger": "okibi"}}',
    ],
)
def test_an_import_that_tells_of_itself_is_read_as_what_faulthandler_has_dumped(head: str) -> None:
    told = [DUMP[0], head, *DUMP[2:-2]]

    assert stood_at(told) == 'File "/tmp/fn/hang.py", line 2 in <module>'
    assert said_itself(told, "Sandbox.Timedout") == ["begins"]
    assert stacks_last_said(told) == (
        f'{IMPORT}, where it stood in File "/tmp/fn/hang.py", line 2 in <module>'
    )


def test_what_it_has_said_itself_ends_where_okibi_or_lambda_begins() -> None:
    assert said_itself(DUMP, "Sandbox.Timedout") == ["begins"]


LATE = "the loop does not answer at the deadline"
STACKS = [
    "Thread 0x00007f2aa2ffd6c0 (most recent call first):",
    f'  File "{os.__file__}", line 129 in wait',
    "",
    "Current thread 0x00007f2aa37fe6c0 (most recent call first):",
    f'  File "{os.__file__}", line 5 in walk',
    '  File "/opt/python/lib/site-packages/x.py", line 6 in call',
    '  File "/tmp/fn/app.py", line 4 in handler',
    '  File "<frozen runpy>", line 198 in _run_module_as_main',
    "",
]


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("Timeout (0:00:00.100000)!", "Timeout (0:00:00.100000)!"),
        (f"[CRITICAL]\t2026-11-29T01:40:00.000Z\tid\t{LATE}; all stacks follow", LATE),
        (
            f'{{"level": "CRITICAL", "message": "{LATE}; all stacks follow", "logger": "okibi"}}',
            LATE,
        ),
    ],
)
def test_of_all_stacks_their_head_is_told_and_the_innermost_frame_of_the_users(
    head: str, told: str
) -> None:
    said = ["begins", head, *STACKS]

    assert stacks_last_said(said) == (
        f'{told}, where it stood in File "/tmp/fn/app.py", line 4 in handler'
    )


def test_of_stacks_without_the_users_the_innermost_frame_of_all_is_told() -> None:
    assert stacks_last_said(["Timeout (0:00:01)!", *STACKS[:3]]) == (
        f'Timeout (0:00:01)!, where it stood in File "{os.__file__}", line 129 in wait'
    )


def test_stacks_of_a_process_that_the_kernel_ended_are_told_without_a_reason() -> None:
    assert stacks_last_said(["begins", *STACKS]) == (
        'all stacks, where it stood in File "/tmp/fn/app.py", line 4 in handler'
    )


def test_the_stack_of_c_code_in_an_import_says_where_it_stood() -> None:
    dumped = ["begins", "Stack (most recent call first):", *DUMP[3:]]

    assert stood_at(dumped) == 'File "/tmp/fn/hang.py", line 2 in <module>'
    assert said_itself(dumped, "Sandbox.Timedout") == ["begins"]


def test_the_place_of_a_mistake_is_where_it_was_made_not_where_okibi_has_noticed() -> None:
    own = f'  File "{function.__file__}", line 53, in __attrs_post_init__\n    raise\n'
    where = "okibi.runtime.handlers.function.Workers"
    made = f'  File "<attrs generated methods {where}>", line 3, in __init__\n'
    users = '  File "/tmp/fn/app.py", line 7, in <module>\n    Function(5)\n'

    error = FunctionError("SpecError", "no", (users, made, own))
    alone = FunctionError("TypeError", "no", (own,))

    assert error.in_words() == 'SpecError: no (File "/tmp/fn/app.py", line 7, in <module>)'
    assert alone.in_words() == f"TypeError: no ({own.strip().partition(chr(10))[0]})"
