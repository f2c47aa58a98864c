"""`okibi invoke` with the real bootstrap: answers, exit codes, and one sentence for each bad
input.
"""

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

from okibi.cli.arguments import BadInput
from okibi.cli.invoke import _one_line, invoke, read_order
from tests.limits import HANG
from tests.support.sandbox import is_gone

APP = """
import time

def echo(event, context):
    print("from the handler")
    return event

def broken(event, context):
    raise ValueError("no")

def sleep(event, context):
    time.sleep(event["seconds"])

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
    """The current folder: one with an app.py."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- streams


@pytest.mark.parametrize(
    ("event", "printed", "expected"),
    [
        ('{"http": 1}', '{"statusCode":201,"headers":{}}\none\ntwo\n', 0),
        ('{"fails": 1}', 'one\ntwo\n{"errorMessage": "no", ', 1),
    ],
)
def test_a_stream_is_printed_and_an_error_behind_it(
    event: str, printed: str, expected: int, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("event.json").write_text(event)

    code = invoke("app.stream", "event.json")

    out, _ = capfd.readouterr()
    assert code == expected
    assert out.startswith(printed)
    assert (out == printed) is (code == 0)
    assert out.endswith("\n")


def test_a_stream_is_printed_as_it_comes() -> None:
    Path("event.json").write_text('{"pause": 0.5}')
    command = [sys.executable, "-m", "okibi.cli", "invoke", "app.stream", "event.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"one\n"
        assert process.poll() is None
        assert process.stdout.read() == b"two\n"
    assert process.returncode == 0


# -- answers


def test_an_answer_goes_to_stdout_and_the_logs_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    Path("event.json").write_text('{"x": 1}')

    code = invoke("app.echo", "event.json", repeat="2")

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
def test_json_is_printed_in_one_line_and_other_bytes_as_they_are(
    payload: bytes, printed: bytes
) -> None:
    assert _one_line(payload) == printed


def test_a_function_error_is_printed_and_in_lines_on_stderr_and_the_code_is_1(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert invoke("app.broken", None) == 1

    out, err = capfd.readouterr()
    assert json.loads(out)["errorType"] == "ValueError"
    assert "\r" not in err
    assert "[ERROR] ValueError: no\nTraceback (most recent call last):\n\xa0\xa0File " in err


def test_a_time_out_is_a_function_error(capfd: pytest.CaptureFixture[str]) -> None:
    Path("event.json").write_text('{"seconds": 60}')

    assert invoke("app.sleep", "event.json", timeout="0.5") == 1

    out, _ = capfd.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out)["errorType"]


# -- bad input


def test_the_event_may_come_from_stdin_where_that_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[1]")))

    assert read_order("app.echo", "-", repeat="1", timeout="3").event == b"[1]"

    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(BadInput, match=r"^stdin: is closed; give a JSON file, or leave it open$"):
        read_order("app.echo", "-", repeat="1", timeout="3")


@pytest.mark.parametrize(
    "event", ['{"name": "é"}', "[1]", '"text"', "[" + "1," * 3000 + "1]", ' {"n": 2}', "\n[1]\n"]
)
def test_the_event_itself_may_be_given(event: str) -> None:
    assert read_order("app.echo", event, repeat="1", timeout="3").event == event.encode()


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("{name: 1}", "the event: is not JSON: "),
        ("no.json", "no.json: cannot be read (No such file or directory); give a JSON file"),
        (".", ".: cannot be read (Is a directory); give a JSON file, or - for stdin"),
        ("app.py", "app.py: is not JSON: "),
        ("latin.json", "latin.json: is not JSON: "),
        ("empty.json", "empty.json: is not JSON: "),
        ("deep.json", "deep.json: is not JSON: nested too deep to be read"),
        ("nan.json", "nan.json: is not JSON: NaN is not JSON"),
    ],
)
def test_a_bad_event_is_named_with_what_is_wrong(event: str, sentence: str) -> None:
    Path("latin.json").write_bytes(b'"\xe9"')
    Path("empty.json").write_bytes(b"")
    Path("deep.json").write_bytes(b"[" * 1_000_000 + b"]" * 1_000_000)
    Path("nan.json").write_bytes(b"NaN")

    with pytest.raises(BadInput) as error:
        read_order("app.echo", event, repeat="1", timeout="3")

    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("event", [b'{"a": "\\ud800"}', b"1e999", b"\xef\xbb\xbf[1]", b"1" * 5000])
def test_what_a_handler_can_be_given_is_an_event(event: bytes) -> None:
    Path("event.json").write_bytes(event)

    assert read_order("app.echo", "event.json", repeat="1", timeout="3").event == event


@pytest.mark.parametrize("repeat", ["0", "-1", "1.5", "x", "nan", "inf", ""])
def test_a_repeat_that_is_no_number_of_times_is_bad(repeat: str) -> None:
    with pytest.raises(BadInput, match=r"--repeat .*: give a whole number, 1 or more"):
        read_order("app.echo", None, repeat=repeat, timeout="3")


@pytest.mark.parametrize("timeout", ["0", "-1", "x", "nan", "inf", ""])
def test_a_timeout_that_is_no_time_is_bad(timeout: str) -> None:
    with pytest.raises(BadInput, match=r"--timeout .*: give seconds, more than 0"):
        read_order("app.echo", None, repeat="1", timeout=timeout)


def test_bad_input_is_one_sentence_on_stderr_and_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke("app.echo", "no.json") == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("okibi: no.json: cannot be read")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("handler", "code", "parts"),
    [
        ("nothing.echo", "", ["Runtime.ImportModuleError", "'nothing'", "run okibi in the folder"]),
        ("raises.f", "raise ValueError('a\\nb')", ["ValueError: a b", 'raises.py", line 1']),
    ],
)
def test_a_function_that_does_not_start_is_one_sentence_and_2(
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
        # The supervisors above it say that it ended, too.
        (RAISES_IN_INIT, "TEXT", IN_INIT),
        (RAISES_IN_INIT, "JSON", IN_INIT),
        pytest.param("raise ValueError('no')", "TEXT", "ValueError: no", marks=pytest.mark.slow),
        pytest.param("raise ValueError", "JSON", "ValueError: ", marks=pytest.mark.slow),
    ],
)
def test_what_a_function_says_before_it_fails_to_start_is_shown(
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

    said, sentence = capfd.readouterr().err.splitlines()
    assert said == "[ERROR] no licence"
    assert sentence.startswith(f"okibi: says.handler in {folder} does not start: {error}")


# -- the command itself


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "okibi.cli", "invoke", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_signal_ends_it_with_nothing_left_running() -> None:
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
    # Its own would name files; the function may still say that it was stopped.
    assert 'File "' not in err
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sessions of their own are found by /proc")
def test_killed_by_sigkill_it_leaves_nothing_running() -> None:
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


def test_the_command_tells_its_version() -> None:
    command = [sys.executable, "-m", "okibi.cli", "--version"]
    result = subprocess.run(command, capture_output=True, text=True)

    assert (result.returncode, result.stdout) == (0, f"okibi {version('okibi')}\n")


@pytest.mark.parametrize(
    ("command", "missing", "whose"),
    [("invoke", "typer", "the command line"), ("bench", "rich", "okibi bench")],
)
def test_without_what_it_needs_one_sentence_says_what_to_install(
    command: str, missing: str, whose: str
) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from okibi.cli.__main__ import main;"
        " sys.exit(main())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, command, "app.echo"], capture_output=True, text=True
    )

    assert result.returncode == 1
    assert result.stderr == (
        f"okibi: {whose} needs {missing}, which is not installed; pip install 'okibi[cli]'\n"
    )


@pytest.mark.parametrize(("own", "printed"), [("", "full"), ("types", "types")])
def test_crash_reports_show_values_unless_the_variable_says_otherwise(
    own: str, printed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKIBI_CRASH_REPORTS", own)

    order = read_order("app.echo", "{}", repeat="1", timeout="3")

    assert order.settings.environment["OKIBI_CRASH_REPORTS"] == printed
