"""`okibi invoke` with the real bootstrap: answers, exit codes, errors in one line."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from okibi.cli.__main__ import main
from okibi.cli.commands.invoke import invoke
from okibi.cli.invoke_function import _to_one_line, choose_settings
from okibi.project.bad_input import BadInput
from okibi.project.event_argument import read_event
from tests.limits import HANG
from tests.support.sandbox import is_gone

APP = """
import time

def echo(event, context):
    print("from the handler")
    return event

def broken(event, context):
    raise ValueError("no")

def stream(event, context):
    if "http" in event:
        from okibi.runtime import Prelude
        yield Prelude(201)
    yield "one\\n"
    time.sleep(event.get("pause", 0))
    yield "two"
    if "fails" in event:
        raise ValueError("no")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an app.py, as the current folder."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- SnapStart

RESTORED = """
from okibi import Child, Function, Server

class Prices(Server):
    async def after_restore(self):
        raise KeyError("no prices")

def echo(event, context):
    return event

function = Function(echo, children=[Child(Prices)])
"""


@pytest.mark.slow
def test_a_function_can_start_from_a_snapshot(capfd: pytest.CaptureFixture[str]) -> None:
    code = invoke("app.echo", '{"n": 1}', snap_start=True)

    out, err = capfd.readouterr()
    assert (out, code) == ('{"n": 1}\n', 0)
    assert "RESTORE_REPORT Restore Duration: " in err


@pytest.mark.slow
def test_a_hook_that_fails_after_a_restore_is_in_the_log(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text(RESTORED)

    code = invoke("app.function", None, snap_start=True)

    _, err = capfd.readouterr()
    assert code == 2
    assert "[ERROR] KeyError: 'no prices'" in err
    assert "does not start: SnapStartException: " in err.splitlines()[-1]


# -- streams


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "printed", "expected"),
    [
        ('{"http": 1}', '{"statusCode":201,"headers":{}}\none\ntwo\n', 0),
        ('{"fails": 1}', 'one\ntwo\n{"errorMessage": "no", ', 1),
    ],
)
def test_an_error_is_printed_after_its_stream(
    event: str, printed: str, expected: int, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("event.json").write_text(event)

    code = invoke("app.stream", "event.json")

    out, _ = capfd.readouterr()
    assert code == expected
    assert out.startswith(printed)
    assert (out == printed) is (code == 0)
    assert out.endswith("\n")


def test_a_stream_is_printed_piece_by_piece() -> None:
    Path("event.json").write_text('{"pause": 0.5}')
    command = [sys.executable, "-m", "okibi.cli", "invoke", "app.stream", "event.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"one\n"
        assert process.poll() is None
        assert process.stdout.read() == b"two\n"
    assert process.returncode == 0


# -- answers


def test_answers_go_to_stdout_and_logs_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    Path("event.json").write_text('{"x": 1}')

    code = invoke("app.echo", "event.json", repeat=2)

    out, err = capfd.readouterr()
    assert code == 0
    assert out == '{"x": 1}\n{"x": 1}\n'
    lines = err.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["START", "from", "END", "REPORT"] * 2
    assert "\tInit Duration: " in lines[3]
    assert "\tInit Duration: " not in lines[7]


@pytest.mark.parametrize(
    ("payload", "printed"),
    [
        (b'{"a":\n1}', b'{"a":1}'),
        (b'{"text": "two\\nlines"}', b'{"text": "two\\nlines"}'),
        (b'{"a":\n1}' + bytes(8), b'{"a":\n1}' + bytes(8)),
    ],
)
def test_json_is_printed_in_one_line_and_other_bytes_unchanged(
    payload: bytes, printed: bytes
) -> None:
    assert _to_one_line(payload) == printed


def test_a_function_error_gives_exit_code_1_and_a_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert invoke("app.broken", None) == 1

    out, err = capfd.readouterr()
    assert json.loads(out)["errorType"] == "ValueError"
    assert "\r" not in err
    assert "[ERROR] ValueError: no\nTraceback (most recent call last):\n\xa0\xa0File " in err


# -- bad input


def test_the_event_may_come_from_an_open_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[1]")))

    assert read_event("-") == b"[1]"

    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(BadInput) as refused:
        read_event("-")
    assert str(refused.value) == "stdin is closed; give JSON, or a JSON file, in place of -"


@pytest.mark.parametrize(
    "event", ['{"name": "é"}', "[1]", '"text"', "[" + "1," * 3000 + "1]", ' {"n": 2}', "\n[1]\n"]
)
def test_the_event_may_be_json_on_the_command_line(event: str) -> None:
    assert read_event(event) == event.encode()


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("", "the event is an empty text; give JSON, a JSON file, or - for stdin"),
        ("{name: 1}", "the event: not JSON ("),
        (
            "no.json",
            "no.json: cannot be read (No such file or directory); give JSON, a JSON file, or -",
        ),
        (".", ".: cannot be read (Is a directory); give JSON, a JSON file, or - for stdin"),
        ("app.py", "app.py: not JSON ("),
        ("latin.json", "latin.json: not JSON ("),
        ("empty.json", "empty.json: not JSON ("),
        ("deep.json", "deep.json: not JSON ("),
        ("nan.json", "nan.json: not JSON ("),
    ],
)
def test_a_bad_event_is_reported_with_its_fault(event: str, sentence: str) -> None:
    Path("latin.json").write_bytes(b'"\xe9"')
    Path("empty.json").write_bytes(b"")
    Path("deep.json").write_bytes(b"[" * 1_000_000 + b"]" * 1_000_000)
    Path("nan.json").write_bytes(b"NaN")

    with pytest.raises(BadInput) as error:
        read_event(event)

    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("event", [b'{"a": "\\ud800"}', b"1e999", b"\xef\xbb\xbf[1]", b"1" * 5000])
def test_unusual_json_is_passed_on_unchanged(event: bytes) -> None:
    Path("event.json").write_bytes(event)

    assert read_event("event.json") == event


def test_a_function_of_the_project_has_the_settings_of_its_table(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        "[tool.okibi.functions.visits]\n"
        'handler = "app.echo"\ntimeout = 20\nmemory = 256\nenvironment = {LEVEL = "info"}\n'
    )
    for asked in ("visits", "app.echo"):
        settings = choose_settings(asked)
        assert (settings.handler, settings.name) == ("app.echo", "visits")
        assert (settings.timeout, settings.memory) == (20, 256)
        assert settings.environment["LEVEL"] == "info"
    assert choose_settings("visits", 3).timeout == 3


def test_bad_input_is_one_line_on_stderr_and_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke("app.echo", "no.json") == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("okibi: no.json: cannot be read")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("handler", "code", "parts"),
    [
        (
            "nothing.echo",
            "",
            [
                "Runtime.ImportModuleError: Unable to import module 'nothing'",
                "; run okibi in the folder of nothing\n",
            ],
        ),
        (
            "raises.f",
            "raise ValueError('a\\nb')",
            ["ValueError: a b", 'raises.py", line 1', "; correct the error and try again\n"],
        ),
    ],
)
def test_a_failed_start_is_one_line_and_exit_code_2(
    handler: str, code: str, parts: list[str], capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / f"{handler.partition('.')[0]}.py").write_text(code) if code else None

    assert invoke(handler, None) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"okibi: {handler} in {folder} does not start: ")
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (
            "app:echo",
            (
                "Runtime.MalformedHandlerName: Bad handler 'app:echo': not enough values to unpack "
                "(expected 2, got 1); write app.echo, with a dot instead of the colon"
            ),
        ),
        (
            "app",
            (
                "Runtime.MalformedHandlerName: Bad handler 'app': not enough values to unpack "
                "(expected 2, got 1); write module.name, as in app.handler"
            ),
        ),
        (
            "app.ecko",
            (
                "Runtime.HandlerNotFound: Handler 'ecko' missing on module 'app'; "
                "the module defines echo, broken, stream"
            ),
        ),
        (
            "empty.echo",
            (
                "Runtime.HandlerNotFound: Handler 'echo' missing on module 'empty'; "
                "give a handler that the module defines, as in app.handler"
            ),
        ),
    ],
    ids=["colon", "no name", "unknown", "empty"],
)
def test_a_wrong_handler_is_reported_with_the_form_or_names_to_type(
    handler: str, error: str, capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "empty.py").touch()

    assert invoke(handler, None) == 2

    assert capfd.readouterr().err == f"okibi: {handler} in {folder} does not start: {error}\n"


RAISES_IN_INIT = """
from okibi.runtime import Handler
class handler(Handler):
    async def init(self):
        raise KeyError("x")
    async def handle(self, event, context): ...
"""


IN_INIT = "KeyError: /function/lambda/workers/worker-0 did not start: 'x'"


@pytest.mark.parametrize(
    ("ends", "log_format", "error"),
    [
        ("import os; os._exit(1)", "TEXT", "Runtime.ExitError"),
        # The supervisors above the actor log its exit, too.
        (RAISES_IN_INIT, "TEXT", IN_INIT),
        pytest.param(RAISES_IN_INIT, "JSON", IN_INIT, marks=pytest.mark.slow),
        pytest.param("raise ValueError('no')", "TEXT", "ValueError: no", marks=pytest.mark.slow),
        pytest.param("raise ValueError", "JSON", "ValueError: ", marks=pytest.mark.slow),
    ],
)
def test_output_before_a_failed_start_is_shown(
    ends: str,
    log_format: str,
    error: str,
    capfd: pytest.CaptureFixture[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_FORMAT", log_format)
    (folder / "says.py").write_text(f"print('[ERROR] no licence', flush=True)\n{ends}")

    assert invoke("says.handler", None) == 2

    output, message = capfd.readouterr().err.splitlines()
    assert output == "[ERROR] no licence"
    assert message.startswith(f"okibi: says.handler in {folder} does not start: {error}")


# -- the command itself


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "okibi.cli", "invoke", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_signal_ends_the_command_and_the_sandbox() -> None:
    Path("event.json").write_text('{"seconds": 60}')
    (Path.cwd() / "app.py").write_text(
        "import os, time\ndef sleep(event, context):\n"
        "    print('pid', os.getpid(), flush=True)\n    time.sleep(60)\n"
    )
    with start("app.sleep", "event.json", "--timeout", "90") as process:
        assert process.stderr is not None
        process.stderr.readline()
        pid = int(process.stderr.readline().split()[1])

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG)

    assert process.returncode == 130
    assert out == ""
    # No traceback; the function itself may log its stop.
    assert 'File "' not in err
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sessions of their own are found by /proc")
def test_sigkill_of_the_command_leaves_no_process_running() -> None:
    Path("app.py").write_text(
        "import os, subprocess, time\ndef sleep(event, context):\n"
        "    beside = [subprocess.Popen(['sleep', '60'], start_new_session=own)"
        " for own in (False, True)]\n"
        "    print('pids', os.getpid(), *[each.pid for each in beside], flush=True)\n"
        "    time.sleep(60)\n"
    )
    with start("app.sleep", "--timeout", "90") as process:
        assert process.stderr is not None
        process.stderr.readline()
        pids = [int(pid) for pid in process.stderr.readline().split()[1:]]
        process.kill()

    until = time.monotonic() + HANG
    while not all(map(is_gone, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    assert len(pids) == 3
    assert [pid for pid in pids if not is_gone(pid)] == []


def test_version_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["okibi", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert (ended.value.code, capfd.readouterr().out) == (0, f"okibi {version('okibi')}\n")


@pytest.mark.parametrize(
    ("command", "missing"),
    [("invoke", "typer"), pytest.param("bench", "rich", marks=pytest.mark.slow)],
)
def test_a_missing_dependency_is_reported_with_the_install_command(
    command: str, missing: str
) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from okibi.cli.__main__ import main;"
        " sys.exit(main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, command, "app.echo"], capture_output=True, text=True
    )

    assert result.returncode == 1
    assert result.stderr == f"okibi: {missing} is not installed; run: pip install 'okibi[cli]'\n"


@pytest.mark.parametrize(("value", "expected"), [("", "full"), ("types", "types")])
def test_crash_reports_are_full_unless_the_variable_is_set(
    value: str, expected: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKIBI_CRASH_REPORTS", value)

    assert choose_settings("app.echo").environment["OKIBI_CRASH_REPORTS"] == expected
