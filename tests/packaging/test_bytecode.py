"""Bytecode that Lambda's Python loads, whatever happens to the times of files."""

import importlib.util
import marshal
import py_compile
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from okibi.packaging.bytecode import (
    MAGIC_NUMBERS,
    NotCompiled,
    compile_package,
    find_interpreter,
    read_pyc,
    source_hash,
)
from okibi.packaging.targets import Target, parse_target
from okibi.project.bad_input import BadInput

THIS = Path(sys.executable)
HERE = parse_target("{}.{}".format(*sys.version_info[:2]), "x86_64", "managed")
SOURCE = """
NAMES = {"a", "b", "c"} & {"b"}
def choose(name, known=("x", "y", 1.5)):
    return name in {"red", "green", "blue"} or name in known
class Shop:
    name: str = "shop"
"""


def cached(folder: Path, name: str) -> Path:
    return Path(importlib.util.cache_from_source(str(folder / name)))


def compiled(folder: Path, name: str = "app.py", source: str = SOURCE) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(source)
    assert compile_package(folder, [name], THIS) == []
    return cached(folder, name).read_bytes()


def test_bytecode_is_not_tied_to_the_time_of_its_source(tmp_path: Path) -> None:
    pyc = read_pyc(compiled(tmp_path))

    assert pyc is not None
    assert pyc.kind == "unchecked-hash"
    assert pyc.key == importlib.util.source_hash(SOURCE.encode())


def test_tracebacks_name_the_file_on_lambda(tmp_path: Path) -> None:
    code = marshal.loads(compiled(tmp_path)[16:])

    assert code.co_filename == "/var/task/app.py"


def test_bytecode_is_the_same_in_another_folder_and_company(tmp_path: Path) -> None:
    alone = compiled(tmp_path / "alone")
    other = tmp_path / "other" / "folder"
    other.mkdir(parents=True)
    # Marshal's output could depend on what the process has compiled before.
    names = [f"a{number}.py" for number in range(30)]
    for name in (*names, "app.py"):
        (other / name).write_text(SOURCE)

    compile_package(other, [*names, "app.py"], THIS, processes=1)

    assert cached(other, "app.py").read_bytes() == alone


def test_bytecode_is_the_same_with_any_number_of_processes(tmp_path: Path) -> None:
    names = [f"m{number}.py" for number in range(200)]
    made: list[list[bytes]] = []
    for processes in (1, 3):
        folder = tmp_path / str(processes)
        folder.mkdir()
        for number, name in enumerate(names):
            (folder / name).write_text(f"{SOURCE}\nNUMBER = {number}\n")
        compile_package(folder, names, THIS, processes=processes)
        made.append([cached(folder, name).read_bytes() for name in names])

    assert made[0] == made[1]


def test_the_interpreter_loads_the_bytecode_without_the_source_s_text(tmp_path: Path) -> None:
    compiled(tmp_path, source="VALUE = 1\n")
    (tmp_path / "app.py").write_text("VALUE = 2\n")

    done = subprocess.run(
        [THIS, "-c", "import app; print(app.VALUE)"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.stdout == "1\n", done.stderr


def test_only_the_bytecode_of_checked_files_follows_an_edit(tmp_path: Path) -> None:
    for name in ("made_mine", "made_theirs"):
        (tmp_path / f"{name}.py").write_text("VALUE = 'old'\n")
    compile_package(tmp_path, ["made_mine.py", "made_theirs.py"], THIS, checked=["made_mine.py"])
    for name in ("made_mine", "made_theirs"):
        (tmp_path / f"{name}.py").write_text("VALUE = 'new'\n")

    code = "import made_mine, made_theirs; print(made_mine.VALUE, made_theirs.VALUE)"
    run = [str(THIS), "-S", "-c", code]
    assert subprocess.check_output(run, cwd=tmp_path, text=True) == "new old\n"


def test_files_that_do_not_compile_are_reported_with_the_error(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "old.py").write_text("x = 1\nprint 'python 2'\n")
    (tmp_path / "null.py").write_text("x = '\0'\n")

    failed = compile_package(tmp_path, ["good.py", "old.py", "null.py"], THIS)

    assert [each.file for each in failed] == ["null.py", "old.py"]
    assert failed[1] == NotCompiled(
        "old.py", "line 2: Missing parentheses in call to 'print'. Did you mean print(...)?"
    )
    assert cached(tmp_path, "good.py").exists()
    assert not cached(tmp_path, "old.py").exists()


def test_the_magic_number_of_this_python_is_known() -> None:
    number = int.from_bytes(MAGIC_NUMBER[:2], "little")

    assert MAGIC_NUMBERS[HERE.python] == number
    assert source_hash(b"x = 1", number) == importlib.util.source_hash(b"x = 1")


def test_the_hash_of_another_python_is_known_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [python for python in MAGIC_NUMBERS if python != HERE.python]
    hashes = {source_hash(b"x = 1", MAGIC_NUMBERS[python]) for python in others}
    assert len(hashes) == len(others)

    # A Python without the private module.
    monkeypatch.setitem(sys.modules, "_imp", None)
    assert source_hash(b"x = 1", MAGIC_NUMBERS[others[0]]) is None


@pytest.mark.parametrize(
    "python",
    [
        pytest.param(each, marks=() if each == HERE.python else pytest.mark.slow)
        for each in sorted(MAGIC_NUMBERS)
    ],
)
def test_the_magic_numbers_are_those_of_the_pythons_here(python: tuple[int, int]) -> None:
    target = Target(python, "x86_64", "managed", (2, 34))
    try:
        interpreter = find_interpreter(target)
    except BadInput:
        pytest.skip(f"there is no Python {target.python_version} here")
    code = "import importlib.util as u; print(int.from_bytes(u.MAGIC_NUMBER[:2], 'little'))"

    done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)

    assert int(done.stdout) == MAGIC_NUMBERS[python]


@pytest.mark.slow
def test_a_python_that_is_not_here_is_refused_with_the_cure() -> None:
    with pytest.raises(BadInput) as refused:
        find_interpreter(Target((3, 99), "x86_64", "managed", (2, 34)))

    assert "there is no Python 3.99 on this machine to compile the package" in str(refused.value)
    assert "uv python install 3.99" in str(refused.value)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(py_compile.PycInvalidationMode.TIMESTAMP, "timestamp"),
     (py_compile.PycInvalidationMode.CHECKED_HASH, "checked-hash"),
     (py_compile.PycInvalidationMode.UNCHECKED_HASH, "unchecked-hash")],
)  # fmt: skip
def test_each_kind_of_bytecode_is_recognised(
    mode: py_compile.PycInvalidationMode, kind: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(SOURCE)
    file = py_compile.compile(str(tmp_path / "app.py"), invalidation_mode=mode)

    pyc = read_pyc(Path(str(file)).read_bytes())

    assert pyc is not None
    assert pyc.kind == kind


@pytest.mark.parametrize("data", [b"", b"\xf3\x0d\r\n", b"x" * 20])
def test_other_data_is_no_bytecode(data: bytes) -> None:
    assert read_pyc(data) is None
