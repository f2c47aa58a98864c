"""okibi dev as a process: errors that it survives, and its end."""

import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.limits import HANG
from tests.support.okibi_dev import run_okibi_dev
from tests.support.sandbox import is_gone

APP = """
import os

def handler(event, context):
    if event.get("rawPath") == "/fail":
        raise ValueError("no")
    return os.environ.get("LEVEL", "") + os.environ["AWS_ACCESS_KEY_ID"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_a_function_is_served_reloaded_and_ended_by_ctrl_c(folder: Path) -> None:
    (folder / "vars").write_text("LEVEL=one-\n")
    with run_okibi_dev(
        folder, "app.handler", "--env-file", "vars", AWS_ACCESS_KEY_ID="AKIASECRET"
    ) as dev:
        # None of the shell's credentials are there.
        assert httpx.get(dev.url).text == "one-local"
        dev.wait_for(r"  ok  GET / 200  .* ms  init \d+ ms  \d+ MB  [0-9a-f-]{36}$")
        assert httpx.get(f"{dev.url}/fail").status_code == 502
        dev.wait_for("ValueError: no")
        dev.wait_for('File "app.py", line 6, in handler|File ".*/app.py", line 6, in handler')

        (folder / "vars").write_text("LEVEL=two-\n")
        dev.wait_for("vars changed: .* reloaded in")
        assert httpx.get(dev.url).text == "two-local"

        (folder / "app.py").write_text("def (\n")
        dev.wait_for("app.py changed: does not start; the last good version keeps serving")
        dev.wait_for("SyntaxError")
        assert httpx.get(dev.url).text == "two-local"

        assert dev.end() == 130
    assert "AKIASECRET" not in "".join(dev.output)


@pytest.mark.slow
def test_the_http_server_is_imported_while_the_sandboxes_start() -> None:
    check = "import okibi.cli.serve_dev, sys; print(sys.modules.keys() & {'anycorn', 'pydantic'})"
    imported = subprocess.check_output([sys.executable, "-c", check], text=True)

    assert imported == "set()\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "handler", "reason"),
    [
        ("import missing_package\n", "app.handler", "No module named 'missing_package'"),
        ("def (\n", "app.handler", "line 1"),
        ("x = 1 / 0\n", "app.handler", "ZeroDivisionError"),
        (APP, "app.gone", "gone"),
    ],
)
def test_a_function_that_does_not_start_is_served_after_the_next_save(
    broken: str, handler: str, reason: str, folder: Path
) -> None:
    (folder / "app.py").write_text(broken)

    with run_okibi_dev(folder, handler) as dev:
        dev.wait_for("does not start")
        dev.wait_for(reason)
        (folder / "app.py").write_text(f"{APP}\ngone = handler\n")
        dev.wait_for("app.py changed: .* reloaded in")
        assert httpx.get(dev.url).text == "local"


CALLER = """
import boto3, json
def handler(event, context):
    answer = boto3.client("lambda").invoke(FunctionName="Long", Payload="5000000")
    return {"é": len(json.load(answer["Payload"]))}
"""
TWO_FUNCTIONS = """
Globals: {Function: {Runtime: python3.13, Handler: index.handler, Timeout: 60}}
Resources:
  Caller: {Type: AWS::Serverless::Function, Properties: {CodeUri: ., Handler: caller.handler}}
  Long:
    Type: AWS::Serverless::Function
    Properties: {InlineCode: "def handler(size, context): return 'é' * (size // 2)"}
"""


@pytest.mark.slow
def test_a_function_of_a_template_invokes_another_as_on_lambda(folder: Path) -> None:
    (folder / "caller.py").write_text(CALLER)
    (folder / "template.yaml").write_text(TWO_FUNCTIONS)

    with run_okibi_dev(folder) as dev:
        answer = httpx.get(f"{dev.url}/lambda-url/Caller/", timeout=HANG)

    # Python 3.13's runtime does not escape: 5 MB of text stay below the limit of 6.
    assert answer.content == '{"é":2500000}'.encode()


@pytest.mark.slow
def test_many_clients_are_served_where_few_files_may_be_open(folder: Path) -> None:
    (folder / "app.py").write_text(
        "import resource\n"
        "def handler(event, context):\n"
        "    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with run_okibi_dev(folder, "app.handler") as dev:
            assert int(httpx.get(dev.url).text) > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_a_port_in_use_is_named_with_what_to_do(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "okibi.cli", "dev", "app.handler", "--port", str(port)],
            cwd=folder, capture_output=True, text=True, timeout=HANG,
        )  # fmt: skip

    assert (done.stdout, done.returncode) == ("", 2)
    assert done.stderr == (
        f"okibi: port {port} of 127.0.0.1 is in use; end the other program, or give another port,"
        " as in --port 9001; --port 0 picks a free one\n"
    )


@pytest.mark.slow
def test_an_event_that_runs_at_the_end_is_answered(folder: Path) -> None:
    (folder / "app.py").write_text(
        "import time\ndef handler(event, context):\n    print('runs')\n    time.sleep(9)\n"
    )
    with run_okibi_dev(folder, "app.handler") as dev, ThreadPoolExecutor() as threads:
        call = threads.submit(httpx.get, dev.url, timeout=HANG)
        dev.wait_for("runs")

        assert dev.end() == 130
        assert call.result().status_code == 502
        assert any("Runtime.ExitError" in line for line in dev.output)


@pytest.mark.slow
def test_queued_events_are_named_at_the_end(folder: Path) -> None:
    (folder / "app.py").write_text("import time\ndef handler(event, context): time.sleep(60)\n")

    with run_okibi_dev(folder, "app.handler", "--timeout", "60") as dev:
        name = dev.boto3().list_functions()["Functions"][0]["FunctionName"]
        for _ in range(2):
            dev.boto3().invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
        began = time.monotonic()
        assert dev.end() == 130
        took = time.monotonic() - began

    assert f"2 queued events of {name} are lost; keep such events with --data FOLDER" in dev.output
    assert took < 20


@pytest.mark.slow
def test_a_closed_pipe_ends_it(folder: Path) -> None:
    with run_okibi_dev(folder, "app.handler") as dev:
        assert dev.process.stdout is not None
        dev.process.stdout.close()
        httpx.get(dev.url)

        assert dev.process.wait(HANG) == 128 + signal.SIGPIPE


@pytest.mark.slow
def test_nothing_remains_of_a_killed_okibi_dev(folder: Path) -> None:
    """As after a second Ctrl-C: no process of a sandbox, and no file."""
    temporary = folder / ".temporary"
    temporary.mkdir()
    (folder / "app.py").write_text("import os\ndef handler(event, context): return os.getpid()\n")
    with run_okibi_dev(folder, "app.handler", TMPDIR=str(temporary)) as dev:
        pid = int(httpx.get(dev.url).text)
        assert list(temporary.iterdir())

        dev.process.kill()
        until = time.monotonic() + HANG
        while time.monotonic() < until and (not is_gone(pid) or list(temporary.iterdir())):
            time.sleep(0.01)

    assert is_gone(pid)
    assert list(temporary.iterdir()) == []
