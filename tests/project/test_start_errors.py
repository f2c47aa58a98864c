"""Descriptions of failed starts, from error responses and logs."""

import os
from pathlib import Path

import pytest

from okibi.project.start_errors import (
    ErrorResponse,
    advise_on_missing_module,
    find_hang,
    lines_before_error,
    summarize_stacks,
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


def test_a_hang_is_found_at_the_innermost_dumped_frame() -> None:
    assert find_hang(DUMP) == 'File "/tmp/fn/hang.py", line 2 in <module>'


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "Unable to import module 'app': No module named 'requests'",
            "pip install -r src/requirem",
        ),
        ("No module named 'requests.adapters'", "run pip install -r src/requirements.txt"),
        ("Unable to import module 'app': No module named 'boto3'", "run pip install boto3: Lambda"),
        ("Unable to import module 'app': No module named 'app'", "run okibi in the folder of app"),
        ("Unable to import module 'in/app': No module named 'in'", "run okibi in the folder of in"),
        ("Unable to import module 'app': cannot import name 'x' from 'json'", ""),
    ],
)
def test_a_missing_module_names_its_cure(
    message: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "requirements.txt").touch()

    given = advise_on_missing_module(message, tmp_path / "src")
    assert advice in given
    assert bool(advice) == bool(given)


def test_without_requirements_a_missing_module_names_its_package(tmp_path: Path) -> None:
    advice = advise_on_missing_module("No module named 'requests'", tmp_path)

    assert advice == "install the package of requests where okibi runs: pip install requests"


IMPORT = "the import has taken 9 s, of the ten that Lambda gives an init"


@pytest.mark.parametrize(
    "head",
    [
        f"[CRITICAL]\t2026-11-29T01:40:00.000Z\t\t{IMPORT}; all stacks follow",
        f'{{"level": "CRITICAL", "message": "{IMPORT}; all stacks follow", "logger": "okibi"}}',
    ],
)
def test_a_slow_import_logged_by_okibi_is_read_like_a_dump(head: str) -> None:
    log = [DUMP[0], head, *DUMP[2:-2]]

    assert find_hang(log) == 'File "/tmp/fn/hang.py", line 2 in <module>'
    assert lines_before_error(log, "Sandbox.Timedout") == ["begins"]
    assert summarize_stacks(log) == f'{IMPORT}, at File "/tmp/fn/hang.py", line 2 in <module>'


def test_the_functions_own_lines_end_at_the_first_of_okibi() -> None:
    assert lines_before_error(DUMP, "Sandbox.Timedout") == ["begins"]


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
    ("head", "reason"),
    [
        ("Timeout (0:00:00.100000)!", "Timeout (0:00:00.100000)!"),
        (f"[CRITICAL]\t2026-11-29T01:40:00.000Z\tid\t{LATE}; all stacks follow", LATE),
        (
            f'{{"level": "CRITICAL", "message": "{LATE}; all stacks follow", "logger": "okibi"}}',
            LATE,
        ),
    ],
)
def test_stacks_are_summarised_by_reason_and_the_users_frame(head: str, reason: str) -> None:
    log = ["begins", head, *STACKS]

    assert summarize_stacks(log) == f'{reason}, at File "/tmp/fn/app.py", line 4 in handler'


def test_stacks_without_user_code_show_the_innermost_frame() -> None:
    assert summarize_stacks(["Timeout (0:00:01)!", *STACKS[:3]]) == (
        f'Timeout (0:00:01)!, at File "{os.__file__}", line 129 in wait'
    )


def test_stacks_without_a_first_line_have_no_reason() -> None:
    assert summarize_stacks(["begins", *STACKS]) == (
        'all stacks, at File "/tmp/fn/app.py", line 4 in handler'
    )


def test_a_single_threads_dump_shows_the_hang() -> None:
    log = ["begins", "Stack (most recent call first):", *DUMP[3:]]

    assert find_hang(log) == 'File "/tmp/fn/hang.py", line 2 in <module>'
    assert lines_before_error(log, "Sandbox.Timedout") == ["begins"]


def test_the_place_of_an_error_is_the_users_line_not_a_librarys() -> None:
    own = f'  File "{function.__file__}", line 53, in __attrs_post_init__\n    raise\n'
    where = "okibi.runtime.handlers.function.Workers"
    made = f'  File "<attrs generated methods {where}>", line 3, in __init__\n'
    users = '  File "/tmp/fn/app.py", line 7, in <module>\n    Function(5)\n'

    library = '  File "/opt/python/lib/site-packages/httpx/_client.py", line 5, in get\n    raise\n'
    error = ErrorResponse("SpecError", "no", (users, made, own, library))
    alone = ErrorResponse("TypeError", "no", (own,))

    assert error.describe() == 'SpecError: no (File "/tmp/fn/app.py", line 7, in <module>)'
    assert alone.describe() == f"TypeError: no ({own.strip().partition(chr(10))[0]})"
