"""`okibi check`: whether a function loads, what its start imports, and what could be lazy."""

import subprocess
import sys
from pathlib import Path

import pytest

from okibi.cli.check.command import LEAST, check, describe_imports
from okibi.cli.check.import_times import parse_import_times, sum_by_package
from okibi.cli.check.lazy_imports import find_lazy_imports
from okibi.cli.check.load_probe import USER_CODE_BEGINS

APP = """
import sys
import heavy

print("printed by the import")
print("written by the import", file=sys.stderr, end="")

async def handler(event, context):
    return heavy.answer

def generator(event, context):
    yield 1
"""
HEAVY = """
import time
from inner import answer

time.sleep(0.02)
"""
HANDLERS = """
from okibi import Child, Function, Handler, Server

def plain(event, context): ...

async def coroutine(event, context): ...

async def pieces(event, context):
    yield b""

class Greeter(Handler[dict]):
    async def handle(self, event, context): ...

class Visits(Server): ...

function = Function(Greeter, children=[Child(Visits)])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules that import each other, as the current folder."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "heavy.py").write_text(HEAVY)
    (tmp_path / "inner.py").write_text("answer = 42\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- whether it loads


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plain", "plain def"),
        ("coroutine", "async def"),
        ("pieces", "streaming handler"),
        ("Greeter", "Handler class"),
        ("function", "Handler class, 1 child"),
    ],
)
@pytest.mark.slow
def test_each_kind_of_handler_is_named(
    folder: Path, capfd: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    (folder / "kinds.py").write_text(HANDLERS)

    assert check(f"kinds.{name}") == 0
    assert capfd.readouterr() == (f"kinds.{name} loads: {kind}\n", "")


def test_an_init_error_is_one_line_and_exit_code_1(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "inner.py").write_text("answer = 1 / 0\n")

    assert check("app.handler") == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"okibi: app.handler in {folder} does not start: ZeroDivisionError: ")
    assert f'(File "{folder}/inner.py", line 1, in <module>)' in err
    assert err.count("\n") == 1


def test_an_import_that_ends_the_process_is_an_error(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "inner.py").write_text("import os\nos._exit(3)\n")

    assert check("app.handler") == 1
    assert "the import ended the process with code 3" in capfd.readouterr().err


def test_a_handler_without_a_module_is_bad_input(capfd: pytest.CaptureFixture[str]) -> None:
    assert check("./app.handler") == 2
    assert "starts with no module" in capfd.readouterr().err


# -- what it imports


def test_imports_shows_the_line_that_imports_a_package(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert check("app.handler", imports=True) == 0
    out, err = capfd.readouterr()

    assert err == ""
    assert out.startswith("app.handler loads: async def\n\nimports of a start, median of 3 runs\n")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["okibi"][4:] == ["Python", "and", "okibi,", "before", "your", "code"]
    assert rows["app"][3:] == ["1", "the", "handler"]
    assert float(rows["heavy"][2]) >= 20
    assert rows["heavy"][3:] == ["1", "app.py:3"]
    assert "inner" not in rows, "it takes less than a millisecond"
    assert rows["app.py:3"][3:] == ["import", "heavy"]
    assert "`lazy import heavy`" in out


def test_small_packages_share_a_row() -> None:
    log = f"import time: 9 | 9 | site\n{USER_CODE_BEGINS}\n" + "".join(
        f"import time: {own} | {own} | {name}\n"
        for name, own in (("one", 100), ("two", 200), ("large", LEAST * 2000))
        for own in [int(own)]
    )

    assert describe_imports([log], {"large": "app.py:1"})[2:] == [
        "package   own ms  total ms  modules  imported by",
        "okibi        0.0       0.0        1  Python and okibi, before your code",
        "large        2.0       2.0        1  app.py:1",
        "2 others     0.3       0.3        2  less than 1 ms each",
    ]


def test_a_total_counts_an_import_inside_its_package_once() -> None:
    log = """
noise of the user's import time:       100 |        100 |       b.inner
import time:       200 |        300 |     b
import time:      1000 |       1300 |   a.part
import time:       500 |       1800 | a
import time:        50 |         50 | b.later
"""
    times = sum_by_package(parse_import_times(log))

    assert (times["a"].own, times["a"].total, times["a"].modules) == (1.5, 1.8, 2)
    assert (times["b"].own, times["b"].total, times["b"].modules) == (0.35, 0.35, 3)


# -- what could be lazy


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a\ndef f(): return a.b", ["import a"]),
        ("import a.b as c\nclass K:\n def f(self): return c.d", ["import a.b as c"]),
        ("from a import b\nf = lambda: b()", ["from a import b"]),
        ("import a\nclass K:\n x: int = 1\n def f(self): a.b", ["import a"]),
        # The name is used when the module is imported.
        ("import a\nx = a.b\ndef f(): return a", []),
        ("import a\n@a.b\ndef f(): return a", []),
        ("import a\ndef f(x=a.b): return a", []),
        ("import a\ndef f(x: a.b): return a", []),
        ("import a\nclass K(a.B):\n def f(self): a.b", []),
        ("from a import b\n__all__ = ['b']\ndef f(): return b", []),
        # A function that runs when the module is imported uses the name.
        ("import a\ndef f(): return a\nx = f()", []),
        ("import a\nclass K:\n def __init__(self): a.b\nx = K()", []),
        ("import a\ndef f(g): return a\n@f\ndef h(): ...", []),
        # Not a plain import at the top level, or no use of the name.
        ("import a", []),
        ("try:\n import a\nexcept ImportError:\n a = None\ndef f(): return a", []),
        ("from a import *\ndef f(): return b", []),
        ("from . import a\ndef f(): return a", []),
        ("from __future__ import annotations\ndef f(): return annotations", []),
        ("if TYPE_CHECKING:\n import a\ndef f(): return a", []),
        ("import a; x = 1; def", []),
    ],
)
def test_an_import_is_lazy_if_only_functions_use_it(source: str, expected: list[str]) -> None:
    assert [each.statement for each in find_lazy_imports({"app.py": source})] == expected


def test_a_package_that_another_file_needs_at_once_is_not_lazy() -> None:
    sources = {"one.py": "import a\ndef f(): return a", "two.py": "from a.b import c\nx = c()"}

    assert find_lazy_imports(sources) == []


def test_the_probe_imports_as_little_of_trio_as_a_bootstrap() -> None:
    script = "import okibi.cli.check.load_probe, sys; print({'ssl', 'trio._ssl'} & {*sys.modules})"

    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"
