"""A start is recorded in a process of its own, without credentials and without an event."""

import os
import pickle
import platform
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from okibi.cli.package.recording import (
    RecordedModule,
    Recording,
    _Requests,
    _Server,
    in_package,
    parse_rows,
    record_start,
    safe_environment,
)
from okibi.cli.package.staging import Staged
from okibi.cli.package.targets import parse_target

ROOT = Path(__file__).resolve().parents[3]
NEEDED = ("trio", "attr", "attrs", "outcome", "sniffio", "sortedcontainers", "httptools", "msgspec")
ENTRY = "from okibi.runtime.__main__ import start\nstart()\n"
APP = """
import attrs, json, os
import made_helper

@attrs.frozen
class Made:
    number: int

open(os.environ["HOME"] + "/in-home", "w").close()
names = sorted(name for name in os.environ if name.startswith(("AWS_", "SECRET")))
print(names, file=open({seen!r}, "w"))

def handler(event, context):
    print("ran", file=open({seen!r}, "a"))
"""


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    """A package of links to what is installed here."""
    folder = tmp_path / "task"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "okibi").symlink_to(ROOT / "okibi")
    for name in NEEDED:
        file = import_module(name).__file__
        assert file is not None
        (folder / "lib" / name).symlink_to(Path(file).parent)
    (folder / "lib" / "okibi_start.py").write_text(ENTRY)
    (folder / "app.py").write_text(APP.format(seen=str(tmp_path / "seen")))
    (folder / "made_helper.py").write_text("")
    target = parse_target("{}.{}".format(*sys.version_info[:2]), platform.machine(), "managed")
    return Staged(folder, folder / "lib", "app.handler", target, Path(sys.executable))


def test_a_recording_has_modules_and_texts_up_to_the_first_next(
    staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the test")
    monkeypatch.setenv("AWS_PROFILE", "of the test")
    monkeypatch.setenv("SECRET_OF_THE_USER", "stays")

    recording = record_start(in_package(staged), "app.handler")

    assert recording.problem == ""
    files = {module.name: module.file for module in recording.modules}
    assert files["made_helper"] == f"{staged.folder}/made_helper.py"
    assert files["trio"] == f"{staged.lib}/trio/__init__.py"
    assert {"httptools.parser.parser", "json", "okibi.runtime.serving.poller"} <= files.keys()
    assert any("app.Made" in text.filename for text in recording.attrs_texts)
    assert {"trio", "okibi", "app"} <= recording.import_times().keys()
    # The handler did not run, and the environment had no credentials.
    seen = (tmp_path / "seen").read_text()
    assert "ran" not in seen
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert "AWS_PROFILE" not in seen
    assert "SECRET_OF_THE_USER" in seen
    assert not [*staged.folder.glob("__pycache__")]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import made_helper\nraise KeyError('TABLE')", "KeyError: 'TABLE'"),
        ("import made_helper, os\nos._exit(3)", "it ended with code 3"),
        ("import made_nowhere", "Runtime.ImportModuleError: Unable to import module 'app'"),
    ],
)
def test_a_failed_start_has_a_problem_and_what_was_imported(
    source: str, problem: str, staged: Staged
) -> None:
    (staged.folder / "app.py").write_text(source)

    recording = record_start(in_package(staged), "app.handler")

    assert recording.problem.startswith(problem)
    assert "okibi.runtime.bootstrap" in {module.name for module in recording.modules}


@pytest.mark.slow
def test_a_start_that_hangs_is_ended_with_its_processes(staged: Staged, tmp_path: Path) -> None:
    (staged.folder / "app.py").write_text(
        "import subprocess, sys, time, made_helper\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"print(child.pid, file=open({str(tmp_path / 'pid')!r}, 'w'), flush=True)\n"
        "time.sleep(600)\n"
    )

    recording = record_start(in_package(staged), "app.handler", limit=5.0)

    assert recording.problem == "the import and init of app took over 5 s"
    assert "made_helper" in {module.name for module in recording.modules}
    pid = int((tmp_path / "pid").read_text())
    assert not is_running(pid)


def test_a_start_that_hangs_is_ended_with_the_command(staged: Staged, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    (staged.folder / "app.py").write_text(
        "import os, time\n"
        f"print(os.getpid(), file=open({str(pid)!r}, 'w'), flush=True)\n"
        "time.sleep(600)\n"
    )
    recorder = partial(record_start, in_package(staged), "app.handler", limit=60.0)
    script = (
        "import pickle, sys, threading, time; from pathlib import Path\n"
        "record = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "threading.Thread(target=record, daemon=True).start()\n"
        "while not (Path(sys.argv[2]).exists() and Path(sys.argv[2]).read_text()): time.sleep(0.05)"
    )
    command = [sys.executable, "-c", script, pickle.dumps(recorder).hex(), str(pid)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=30)

    assert not is_running(int(pid.read_text()))


def test_a_broken_connection_of_a_start_is_not_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with _Server(("127.0.0.1", 0), _Requests) as server:
        try:
            raise ConnectionResetError
        except ConnectionResetError:
            server.handle_error(None, server.server_address)

    assert capsys.readouterr().err == ""


def test_a_package_with_its_own_python_is_started_with_that(staged: Staged) -> None:
    assert in_package(staged).python[0] == sys.executable

    (staged.folder / "bin").mkdir()
    (staged.folder / "bin" / "python3").write_text("")

    assert in_package(staged).python[0] == f"{staged.folder}/bin/python3"


def is_running(pid: int) -> bool:
    """Whether a process runs: one that was killed may wait for its parent to notice."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_an_environment_without_credentials_keeps_the_rest() -> None:
    given = {
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "x",
        "AWS_PROFILE": "x", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "x", "BOTO_CONFIG": "x", "PYTHONPATH": "x",
        "AWS_CONFIG_FILE": "/home/me/.aws/config", "HOME": "/home/me",
        "AWS_REGION": "eu-central-1", "TABLE": "visits",
    }  # fmt: skip

    made = safe_environment(given, home="/tmp/empty")

    assert "x" not in made.values()
    assert (made["AWS_REGION"], made["TABLE"]) == ("eu-central-1", "visits")
    assert made["HOME"] == "/tmp/empty"
    assert made["AWS_CONFIG_FILE"] == made["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_an_incomplete_last_row_is_dropped() -> None:
    import marshal

    row = ("module", "json", "/json/__init__.py", True, "SourceFileLoader", 0.002)
    data = marshal.dumps(row, 2)

    recording = parse_rows(data + data[:-3], "killed")

    module = RecordedModule("json", "/json/__init__.py", True, "SourceFileLoader", 2.0)
    assert recording == Recording((module,), (), "killed")
