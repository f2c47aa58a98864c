"""Starts are recorded in processes of their own, without this machine's variables or an event."""

import base64
import json
import pickle
import platform
import re
import subprocess
import sys
import zlib
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from okibi.packaging.recording import (
    AttrsText,
    RecordedClass,
    RecordedModule,
    Recording,
    _Requests,
    _Server,
    find_prefixes,
    in_package,
    keep_common,
    parse_rows,
    record_start,
)
from okibi.packaging.staging import Staged
from okibi.packaging.targets import parse_target

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("trio", "attr", "attrs", "outcome", "sniffio", "sortedcontainers", "httptools", "msgspec")
ENTRY = "from okibi.runtime.__main__ import start\nstart()\n"
APP = """
import attrs, json, os
import made_helper

@attrs.frozen
class Made:
    number: int

open(os.environ["HOME"] + "/in-home", "w").close()
json.dump(dict(os.environ), open({seen!r}, "w"))

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
    staged: Staged, tmp_path: Path
) -> None:
    recording = record_start(in_package(staged), "app.handler")

    assert recording.problem == ""
    files = {module.name: module.file for module in recording.modules}
    assert files["made_helper"] == f"{staged.folder}/made_helper.py"
    assert files["trio"] == f"{staged.lib}/trio/__init__.py"
    assert {"httptools.parser.parser", "json", "typing", "okibi.runtime.serving.poller"} <= (
        files.keys()
    )
    assert any("attr._make.Attribute" in text.filename for text in recording.attrs_texts)
    recipes = {(each.module, each.name): each.recipe for each in recording.classes}
    assert recipes["trio._core._run", "CancelScope"] is not None
    assert ("app", "Made") not in recipes
    assert {"trio", "okibi", "app"} <= recording.import_times().keys()
    # The handler did not run.
    assert "ran" not in (tmp_path / "seen").read_text()
    assert not [*staged.folder.glob("__pycache__")]


# -- environment variables

OF_THIS_MACHINE = {
    "AWS_SECRET_ACCESS_KEY": "made secret", "AWS_PROFILE": "made profile",
    "AWS_REGION": "made-region-1", "DB_PASSWORD": "made password", "HTTPS_PROXY": "made proxy",
    "LD_LIBRARY_PATH": "/made/library", "PYTHONHASHSEED": "77", "PYTHONSTARTUP": "/made/startup",
    "USER": "made user", "TZ": "Asia/Kathmandu", "LANG": "C", "OKIBI_TRACE": "full",
}  # fmt: skip


@pytest.mark.slow
def test_a_recorded_start_has_no_variable_of_this_machine(
    staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in OF_THIS_MACHINE.items():
        monkeypatch.setenv(name, value)

    record_start(in_package(staged), "app.handler", environment={"TABLE": "12"})

    seen: dict[str, str] = json.loads((tmp_path / "seen").read_text())
    assert not seen.items() & OF_THIS_MACHINE.items()
    assert not seen.keys() & {
        "AWS_PROFILE",
        "DB_PASSWORD",
        "HTTPS_PROXY",
        "LD_LIBRARY_PATH",
        "USER",
    }
    assert seen["AWS_REGION"] == seen["AWS_DEFAULT_REGION"] == "us-east-1"
    assert seen["HOME"].startswith("/tmp/okibi-record-")
    # The second start was the last one.
    assert (seen["TABLE"], seen["AWS_LAMBDA_FUNCTION_NAME"]) == ("21", "function")


OF_UNSET_VARIABLES = """
import os
first = os.environ["DB_PASSWORD"]
assert first.isidentifier() and first.startswith("placeholderdbpassword"), first
assert int(os.environ["PORT"]) == float(os.environ["RATE"]) in (1, 2)
assert os.environ.get("TABLE") is os.getenv("TABLE") is None
assert (os.environ.get("TABLE", "x"), os.environ.pop("TABLE", "x")) == ("x", "x")
assert "TABLE" not in os.environ and "TABLE" not in dict(os.environ) and "HOME" in os.environ
assert os.environ.get("AWS_REGION") == os.environ["AWS_REGION"] == "us-east-1"
assert os.environ.setdefault("TABLE", "x") == os.environ["TABLE"] == os.environ.pop("TABLE") == "x"
for statement in ("os.environ.pop('TABLE')", "del os.environ['TABLE']"):
    try:
        exec(statement)
    except KeyError:
        continue
    raise AssertionError(statement)
def handler(event, context): pass
"""


@pytest.mark.slow
def test_only_a_subscript_finds_a_variable_that_is_not_set(staged: Staged) -> None:
    (staged.folder / "app.py").write_text(OF_UNSET_VARIABLES)

    recording = record_start(in_package(staged), "app.handler")

    assert recording.problem == ""
    assert {"DB_PASSWORD", "PORT", "RATE"} <= recording.unset
    assert "AWS_REGION" not in recording.unset


@pytest.mark.slow
def test_the_function_s_own_values_decide_what_is_imported(staged: Staged) -> None:
    (staged.folder / "made_dynamo.py").write_text("")
    (staged.folder / "app.py").write_text(
        "import os, importlib, re\n"
        "importlib.import_module(f'made_{os.environ[\"BACKEND\"]}')\n"
        "re.compile('compiled later')\n"
        "def handler(event, context): pass\n"
    )

    recording = record_start(in_package(staged), "app.handler", environment={"BACKEND": "dynamo"})

    assert recording.problem == ""
    assert "made_dynamo" in {module.name for module in recording.modules}
    assert ("compiled later", 0) not in recording.patterns
    assert "No module named 'made_qqqqqq'" in recording.early_end


@pytest.mark.slow
def test_both_starts_have_the_settings_of_python_and_okibi(staged: Staged) -> None:
    settings = {"PYTHONUTF8": "1", "OKIBI_GRACEFUL_SHUTDOWN": "0", "AWS_LAMBDA_LOG_FORMAT": "JSON"}

    recording = record_start(in_package(staged), "app.handler", environment=settings)

    assert (recording.problem, recording.early_end) == ("", "")


@pytest.mark.slow
def test_both_starts_have_the_handler_behind_a_library_s_handler(staged: Staged) -> None:
    (staged.folder / "app.py").write_text("def handler(event, context): ...")
    (staged.folder / "otel_wrapper.py").write_text(
        "import importlib, os\nmodule, name = os.environ['ORIG_HANDLER'].split('.')\n"
        "lambda_handler = getattr(importlib.import_module(module), name)\n"
    )

    recording = record_start(
        in_package(staged),
        "otel_wrapper.lambda_handler",
        environment={"ORIG_HANDLER": "app.handler"},
    )

    assert (recording.problem, recording.early_end) == ("", "")


COMPILES_VALUES = """
import base64, collections, os, re, typing, zlib
import attrs
re.compile("a constant")
for name in ("DB_PASSWORD", "API_KEY"):
    value = os.environ[name]
    data = value.encode()
    for each in (data, base64.b64encode(data), zlib.compress(data), data.hex().encode()):
        re.compile(each), re.compile(re.escape(each))
        re.compile(re.escape(each).decode("latin-1"))
    re.compile(value), re.compile(f"made-{value.upper()}"), re.compile(value[:6])
    collections.namedtuple("R", value), typing.NamedTuple("R", [(value, "made_class")])
    typing.ForwardRef(value), typing.ForwardRef(f"made_{value}")
    attrs.make_class(value, ["x"], frozen=True), attrs.make_class("Made", [value])
def handler(event, context): pass
"""


@pytest.mark.slow
def test_no_text_depends_on_a_value_of_a_variable(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    (staged.folder / "app.py").write_text(COMPILES_VALUES)
    of_shell, own = "correct_horse_battery", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
    monkeypatch.setenv("DB_PASSWORD", of_shell)

    recording = record_start(in_package(staged), "app.handler", environment={"API_KEY": own})

    assert (recording.problem, recording.early_end) == ("", "")
    assert ("a constant", 0) in recording.patterns
    # Since 3.14, `typing` compiles no annotation.
    assert "made_class" in recording.expressions or sys.version_info >= (3, 14)
    texts = (recording.attrs_texts, recording.classes, recording.expressions, recording.patterns)
    kept = repr(texts).lower()
    for value in (of_shell, own):
        data = value.encode()
        for each in (value, value[:6], base64.b64encode(data).decode(), data.hex()):
            assert each.lower() not in kept
        assert repr(zlib.compress(data))[2:-1].lower() not in kept


def test_a_text_is_kept_if_both_starts_compiled_it() -> None:
    texts = [AttrsText(f"x = {number}", "made", 0) for number in range(3)]
    one, other = (RecordedClass("made", "Made", (number,)) for number in range(2))
    same = RecordedClass("made", "Same", (2,))
    first = Recording(
        (), (texts[0], texts[1]), "", frozenset("ab"), frozenset({("a", 0), ("b", 0)}),
        classes=(one, same),
    )  # fmt: skip
    second = Recording(
        (), (texts[1], texts[2]), "", frozenset("bc"), frozenset({("b", 0)}), classes=(other, same)
    )

    assert keep_common(first, second, []) == Recording(
        (), (texts[1],), "", frozenset("b"), frozenset({("b", 0)}), classes=(same,)
    )


def test_a_text_with_a_folder_of_this_machine_is_left_out() -> None:
    modules = [
        RecordedModule("shop", "/home/a-b/x/shop/__init__.py", True, "SourceFileLoader", 1.0),
        RecordedModule("shop.cart", "/mnt/shop/cart.py", False, "SourceFileLoader", 1.0),
        RecordedModule("typing", "/usr/lib/python3/typing.py", False, "LibraryLoader", 1.0),
        RecordedModule("os", "frozen", False, "FrozenImporter", 1.0),
    ]
    folders = ["/home/a-b/x/shop", "/usr/lib/python3/json", "/venv/bin"]
    patterns = [re.escape(each) for each in folders]
    kept = frozenset[tuple[str | bytes, int]]({("/usr/lib", 0), ("/mnt/shop", 0), (b"/home", 0)})
    recording = Recording(
        tuple(modules),
        patterns=kept | {(each, 0) for each in patterns} | {(patterns[0].encode(), 0)},
    )

    assert keep_common(recording, recording, [Path("/venv")]).patterns == kept


def test_an_interpreter_s_own_folders_are_found(tmp_path: Path) -> None:
    for name in ("python3.13", "project/.venv"):
        (tmp_path / name / "bin").mkdir(parents=True)
    program, link = tmp_path / "python3.13/bin/python3", tmp_path / "project/.venv/bin/python"
    program.touch()
    link.symlink_to(program)

    assert find_prefixes(str(link)) == [tmp_path / "project/.venv", tmp_path / "python3.13"]
    assert find_prefixes("/usr/bin/no-such-python") == []


# -- starts that fail


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import made_helper\nraise KeyError('TABLE')", "KeyError: 'TABLE'"),
        ("import made_helper, os\nos._exit(3)", "it ended with code 3"),
        pytest.param(
            "import made_nowhere",
            "Runtime.ImportModuleError: Unable to import module 'app'",
            marks=pytest.mark.slow,
        ),
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


@pytest.mark.slow
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


def test_an_incomplete_last_row_is_dropped() -> None:
    import marshal

    row = ("module", "json", "/json/__init__.py", True, "SourceFileLoader", 0.002)
    data = marshal.dumps(row, 2)

    recording = parse_rows(data + data[:-3], "killed")

    module = RecordedModule("json", "/json/__init__.py", True, "SourceFileLoader", 2.0)
    assert recording == Recording((module,), (), "killed")
