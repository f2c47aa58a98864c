"""`okibi check`: whether a function loads, what its start imports, and what could be lazy."""

import subprocess
import sys
from pathlib import Path

import pytest

from okibi.cli.check_functions import LEAST, describe_imports
from okibi.cli.commands.check import check
from okibi.project.probe.import_times import parse_import_times, sum_by_package
from okibi.project.probe.lazy_imports import find_lazy_imports
from okibi.project.probe.load_probe import USER_CODE_BEGINS

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
from okibi import Child, Function, Handler, Name, Server
from okibi.batch import Batch

def plain(event, context): ...

async def coroutine(event, context): ...

async def pieces(event, context):
    yield b""

class Greeter(Handler[dict]):
    async def handle(self, event, context): ...

class Visits(Server):
    async def take(self, record): ...

records = Batch(lambda record: None)
actors_records = Batch(Visits.take, actor=Name("visits", Visits))
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
        ("records", "Batch, plain def"),
        ("actors_records", "Batch, method of an actor"),
    ],
)
@pytest.mark.slow
def test_each_kind_of_handler_is_named(
    folder: Path, capfd: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    (folder / "kinds.py").write_text(HANDLERS)

    assert check(f"kinds.{name}") == 0
    assert capfd.readouterr() == (f"kinds.{name} loads: {kind}\n", "")


def test_an_init_error_has_the_users_frames_and_exit_code_1(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "inner.py").write_text("answer = 1 / 0\n")

    assert check("app.handler") == 1
    out, err = capfd.readouterr()
    assert out == ""
    first, *frames = err.splitlines()
    assert first.startswith(f"okibi: app.handler in {folder} does not start: ZeroDivisionError: ")
    assert f'(File "{folder}/inner.py", line 1, in <module>)' in first
    assert [frame.strip() for frame in frames if frame.strip().startswith("File")] == [
        f'File "{folder}/app.py", line 3, in <module>',
        f'File "{folder}/heavy.py", line 3, in <module>',
        f'File "{folder}/inner.py", line 1, in <module>',
    ]


@pytest.mark.slow
def test_an_init_error_in_the_handlers_module_is_one_line(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "app.py").write_text("import okibi_has_no_such_module\n")

    assert check("app.handler") == 1
    assert capfd.readouterr().err.count("\n") == 1


def test_an_import_that_ends_the_process_is_an_error(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "inner.py").write_text("import os\nos._exit(3)\n")

    assert check("app.handler") == 1
    assert "the import ended the process with code 3" in capfd.readouterr().err


def test_a_handler_without_a_module_is_bad_input(capfd: pytest.CaptureFixture[str]) -> None:
    assert check("./app.handler") == 2
    assert "starts with no module" in capfd.readouterr().err


# -- what would fail later


MISTAKES = """
import attrs, pydantic

from okibi import Application, Child, Function, Handler, Name, Server, SupervisorSpec
from okibi.supervisors import Applications, PartitionSupervisorSpec

class Item: ...
class Bill(pydantic.BaseModel): ...
@attrs.frozen
class Order:
    items: list[Item]
    other: "Order | None" = None
    bill: Bill | None = None
@attrs.define(eq=False)
class Stock(Server):
    size: int

class Prices(Server): ...

async def make() -> Prices:
    return Prices()

PRICES = Name("prices", Prices)

class Shop(Handler[Order]):
    async def handle(self, event, context): ...

database = Application("database", SupervisorSpec([Child(Prices, name=PRICES)]))
function = Function(
    Shop,
    children=[
        Child(Stock),
        Child(make),
        Child(Prices, name=Name("stock", Stock)),
        Child(PartitionSupervisorSpec(Child(Prices), partitions=2), name=PRICES),
        Child(Applications([database])),
    ],
)
"""


TOLD = """\
shop.py:25: Shop: no event can be decoded into the type of its Handler[...]: \
Item: use an attrs class, a dataclass, or a TypedDict
shop.py:14: child 'Stock': Stock needs size, but a supervisor gives its factory no arguments; \
write Child(functools.partial(Stock, size=...))
shop.py:20: child 'make': make is an `async def`, but a supervisor does not await a factory; \
write a plain `def`, and await in the actor's `init`
shop.py:18: child 'stock': the name 'stock' is for Stock, but the child is a Prices; \
give it a Name('stock', Prices)
/function/children/prices and /function/children/applications/database/supervisor/prices \
have the same name 'prices', and the second cannot start; give one of them another Name
""".splitlines()


def test_all_mistakes_of_the_tree_are_told_at_once(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "shop.py").write_text(MISTAKES)

    assert check("shop.function") == 1
    out, err = capfd.readouterr()
    assert out == ""
    told = [line.removeprefix("okibi: shop.function: ") for line in err.splitlines()]
    assert told == TOLD


NAMES = """
from okibi import Child, Function, Name, Server
from okibi.supervisors import DynamicSupervisorSpec, PartitionedName

class Visits(Server): ...

VISITS = Name("visits", Visits)
FORGOTTEN: Name[Visits] = Name("forgotten", Visits)
SHARED = PartitionedName("shared", Visits)
SESSION = Name("session", Visits)

def session():
    return Child(Visits, name=SESSION)

async def handler(event, context): ...

function = Function(handler, children=[Child(Visits, name=VISITS), Child(DynamicSupervisorSpec())])
"""


def test_a_name_that_no_actor_has_is_a_warning(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "names.py").write_text(NAMES)

    assert check("names.function") == 0
    out, err = capfd.readouterr()
    assert out == "names.function loads: async def, 2 children\n"
    assert err == (
        "okibi: names.function: warning: names.py:8: no actor of the tree has the name FORGOTTEN,"
        " so a call to it raises NoProcess; add Child(Visits, name=FORGOTTEN) to the Function\n"
        "okibi: names.function: warning: names.py:9: no actor of the tree has the name SHARED, so a"
        " call to it raises NoProcess; add"
        " Child(PartitionSupervisorSpec(Child(Visits)), name=SHARED.name) to the Function\n"
    )


METRICS = """
from aws_lambda_powertools import Metrics

@Metrics(namespace="shop").log_metrics
async def handler(event, context): ...
"""


RESOURCES = """
from okibi import Application, Child, Function, SupervisorSpec
from okibi.resource import Resource

async def connect(): ...

DATABASE = Resource(connect, name="database", connections=2, server_limit=100)
CACHE = Resource(connect, name="cache")
FORGOTTEN = Resource(connect, name="forgotten")

async def handler(event, context): ...

pool = Application("pool", SupervisorSpec([Child(DATABASE)]))
function = Function(handler, [Child(CACHE)], applications=[pool])
"""


def test_connections_are_compared_with_the_limit_of_the_server(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "lends.py").write_text(RESOURCES)

    assert check("lends.function") == 0
    told = capfd.readouterr()
    assert told.out == (
        "lends.function loads: async def, 1 application, 1 child\n"
        "  cache: 1000 sandboxes x 1 connection = 1000; Resource(server_limit=...) compares with"
        " what the server allows\n"
    )
    assert told.err == (
        "okibi: lends.function: warning: lends.py:9: no actor of the tree lends FORGOTTEN, so its"
        " lend() raises LendError; add Child(FORGOTTEN) to the Function\n"
        "okibi: lends.function: warning: database: 1000 sandboxes x 2 connections = 2000, and the"
        " server allows 100: reserve a concurrency of at most 50 for the function, or put a proxy"
        " before the server (RDS Proxy, PgBouncer), or keep the data in DynamoDB, which has no"
        " connections to run out of\n"
    )
    assert check("lends.function", sandboxes=50) == 0
    assert "  database: 50 sandboxes x 2 connections = 100, and the server allows 100\n" in (
        capfd.readouterr().out
    )


ENTITIES = """
from functools import partial
from okibi import Application, Child, Function, SupervisorSpec
from okibi.entities import EntityStore, MemoryStore

async def handler(event, context): ...

stores = SupervisorSpec([Child(partial(EntityStore))])
child = Function(handler, [Child(EntityStore)])
below = Function(handler, [Child(stores, id="stores")])
application = Function(handler, applications=[Application("stores", stores)])
own = Function(handler, [Child(partial(EntityStore, MemoryStore()))])
"""
ENTITIES_COST = (
    "  entities: a million calls cost $1.38 (DynamoDB, 1 KB of state, one caller at a time,"
    ' December 2026); see "Entities" in the docs'
)


def test_entities_without_a_table_are_a_warning_and_have_a_price(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "carts.py").write_text(ENTITIES)

    for name in ("child", "below", "application"):
        assert check(f"carts.{name}") == 0
        told = capfd.readouterr()
        assert told.out.splitlines()[1:] == [ENTITIES_COST]
        assert told.err.startswith(
            f"okibi: carts.{name}: warning: the EntityStore has no table on Lambda; write `entities"
        )
    assert check("carts.own") == 0
    assert capfd.readouterr() == ("carts.own loads: async def, 1 child\n", "")


def test_entities_with_a_table_in_pyproject_are_no_warning(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "carts.py").write_text(ENTITIES)
    table = '[tool.okibi.functions.carts]\nhandler = "carts.child"\nentities = true\n'
    (folder / "pyproject.toml").write_text(table)

    assert check() == 0
    told = capfd.readouterr()
    assert (told.out.splitlines()[1:], told.err) == ([ENTITIES_COST], "")


def test_a_decorator_that_does_not_fit_is_a_warning(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "metrics.py").write_text(METRICS)

    assert check("metrics.handler") == 0
    assert capfd.readouterr().err.startswith(
        "okibi: metrics.handler: warning: Powertools' log_metrics sends the metrics of an"
    )


@pytest.mark.parametrize(
    "kind",
    ["dict", "list[int]", "object", "Struct", "Point", "TypedDict", "Recursive", "datetime", "Any"],
)
@pytest.mark.slow
def test_an_event_type_that_okibi_decodes_is_no_mistake(
    folder: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    (folder / "typed.py").write_text(f"""
from __future__ import annotations
import dataclasses, datetime as dates, msgspec, typing
from typing import Any
from okibi import Handler
datetime = dates.datetime
class Struct(msgspec.Struct):
    point: Point
@dataclasses.dataclass
class Point:
    x: int
class TypedDict(typing.TypedDict):
    x: int
@dataclasses.dataclass
class Recursive:
    inner: list[Recursive]
class Typed(Handler[{kind}]):
    async def handle(self, event, context): ...
""")

    assert check("typed.Typed") == 0
    assert capfd.readouterr().err == ""


# -- the functions of a project


def test_without_an_argument_all_functions_of_the_project_are_checked(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "pyproject.toml").write_text("""
[tool.okibi.functions.good]
handler = "app.handler"
environment = {ANSWER = "42"}

[tool.okibi.functions.bad]
handler = "app.missing"
""")
    (folder / "inner.py").write_text("import os\nanswer = os.environ['ANSWER']\n")

    assert check(None) == 1
    out, err = capfd.readouterr()
    assert out == "app.handler loads: async def\n"
    assert err.startswith("okibi: app.missing in ")
    assert "KeyError: 'ANSWER'" in err


def test_a_folder_without_functions_needs_a_handler(capfd: pytest.CaptureFixture[str]) -> None:
    assert check(None) == 2
    assert capfd.readouterr().err == "okibi: which function? name its handler, as in app.handler\n"


# -- what it imports


@pytest.mark.slow
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
    script = (
        "import okibi.project.probe.load_probe, sys; print({'ssl', 'trio._ssl'} & {*sys.modules})"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"
