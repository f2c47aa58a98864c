"""`okibi package`: real packages from PyPI, built by uv, and started as Lambda starts them."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any

import pytest

from okibi.cli.build_package import plan_package
from okibi.cli.commands.package import package
from okibi.local import FunctionSettings, open_local_lambda
from okibi.packaging.binaries import read_elf
from okibi.packaging.resolve import find_uv
from okibi.packaging.targets import parse_target
from okibi.packaging.zip_check import check_zip
from okibi.project.bad_input import BadInput
from okibi.runtime.startup.start_image import read_index
from tests.support.sandbox import PYTHON, ROOT

MACHINE = "arm64" if os.uname().machine == "aarch64" else "x86_64"
OTHER = "arm64" if MACHINE == "x86_64" else "x86_64"
VERSION = "{}.{}".format(*sys.version_info[:2])
APP = """
import importlib.metadata
import markupsafe, markupsafe._speedups
from okibi import Function

def handler(event, context):
    return {
        "escaped": str(markupsafe.escape(event["name"])),
        "okibi": importlib.metadata.version("okibi"),
        "file": __file__,
    }

function = Function(handler)
"""
REQUIREMENTS = "markupsafe==3.0.3\n"
ENTRIES = """
import sys
def handler(event, context):
    return [each for each in sys.path if "/lib/python" not in each]
"""


def run_package(
    folder: Path, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "okibi.cli", "package", *arguments],
        cwd=folder,
        env={**os.environ, **PYTHON, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def make_project(folder: Path, requirements: str = REQUIREMENTS, app: str = APP) -> Path:
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(app)
    (folder / "requirements.txt").write_text(requirements)
    return folder


def names(file: Path) -> list[str]:
    with zipfile.ZipFile(file) as opened:
        return opened.namelist()


def unpack(file: Path, folder: Path) -> Path:
    """Unpack a zip with the rights of its files, as Lambda does."""
    with zipfile.ZipFile(file) as opened:
        for entry in opened.infolist():
            opened.extract(entry, folder)
            (folder / entry.filename).chmod(entry.external_attr >> 16 & 0o777)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project with a package for this machine."""
    folder = make_project(tmp_path_factory.mktemp("built") / "shop")
    done = run_package(
        folder, "app.function", "--python", VERSION, "--arch", MACHINE, "--sbom", "shop.cdx.json"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_package_has_okibi_in_lib_and_the_function_s_packages_beside_it(built: Path) -> None:
    found = {*names(built / "function.zip")}

    assert {"app.py", "bootstrap", "markupsafe/__init__.py", "lib/okibi/__init__.py",
            "lib/okibi_start.py", "lib/okibi-package.json", "lib/trio/__init__.py",
            "lib/msgspec/__init__.py"} <= found  # fmt: skip
    folders = {name.split("/")[1] for name in found if name.startswith("lib/")}
    assert not folders & {"httpx", "httpcore", "h11", "certifi", "anyio", "markupsafe", "bin"}
    assert not any(name.startswith(("lib/okibi/cli", "lib/okibi/local")) for name in found)
    assert not any(name.endswith((".pyi", ".c")) or "/tests/" in name for name in found)


@pytest.mark.slow
def test_a_package_has_httpx_if_the_function_requires_okibi_with_http(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "shop", "okibi[http]\n")
    done = run_package(folder, "app.function", "--python", VERSION, "--arch", MACHINE)

    assert done.returncode == 0, done.stderr
    assert {"lib/httpx/__init__.py", "lib/okibi/http.py"} <= {*names(folder / "function.zip")}


@pytest.mark.slow
def test_all_sources_but_the_entry_have_bytecode(built: Path) -> None:
    found = {*names(built / "function.zip")}
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"

    def bytecode(name: str) -> str:
        folder, _, file = name.rpartition("/")
        return f"{folder}/__pycache__/{file[:-3]}.{tag}.pyc".removeprefix("/")

    sources = {name for name in found if name.endswith(".py")}
    assert {name for name in sources if bytecode(name) not in found} == {"lib/okibi_start.py"}


@pytest.mark.slow
async def test_the_package_serves_as_lambda_starts_it(built: Path, tmp_path: Path) -> None:
    folder = unpack(built / "function.zip", tmp_path / "task")
    settings = FunctionSettings(
        "app.function", command=(str(folder / "bootstrap"),), task_root=folder, timeout=30,
        environment={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": ""},
    )  # fmt: skip

    async with open_local_lambda(settings) as function:
        answer = await function.invoke(b'{"name": "<b>"}')

    told = json.loads(answer.payload)
    assert told["escaped"] == "&lt;b&gt;"
    assert told["file"] == f"{folder}/app.py"


@pytest.mark.slow
def test_its_own_packages_pass_the_check_of_zips(built: Path) -> None:
    target = parse_target(VERSION, MACHINE, "managed")

    assert check_zip(built / "function.zip", target) == ([], [])


@pytest.mark.slow
def test_the_sbom_lists_each_package_in_the_zip_with_its_version_and_licence(built: Path) -> None:
    sbom = json.loads((built / "shop.cdx.json").read_text("utf-8"))

    infos = {name.split("/")[-2] for name in names(built / "function.zip") if "METADATA" in name}
    assert {
        f"{each['name'].replace('-', '_')}-{each['version']}.dist-info"
        for each in sbom["components"]
    } == infos  # fmt: skip
    assert all(each["licenses"] for each in sbom["components"])
    assert sbom["metadata"]["component"]["name"] == "app.function"


@pytest.mark.slow
def test_a_check_for_another_python_fails_with_exit_1(built: Path) -> None:
    other = "3.12" if VERSION != "3.12" else "3.13"

    done = run_package(built, "--check", "function.zip", "--python", other)

    assert done.returncode == 1
    assert f"was built for Python {VERSION}, and the function runs on {other}" in done.stderr


@pytest.mark.slow
def test_two_builds_are_the_same_bytes_under_another_clock_path_and_user(
    built: Path, tmp_path: Path
) -> None:
    again = tmp_path / "elsewhere" / "deeper" / "copy"
    shutil.copytree(built, again, ignore=shutil.ignore_patterns("*.zip"))
    for file in again.iterdir():
        os.utime(file, (1, 1))
    environment = {
        "HOME": str(tmp_path), "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "77", "LANG": "C",
        "TMPDIR": str(tmp_path), "SOURCE_DATE_EPOCH": "1", "USER": "another",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }  # fmt: skip
    old = os.umask(0o077)
    try:
        options = ("app.function", "--python", VERSION, "--arch", MACHINE, "-o", "second.zip")
        done = run_package(again, *options, environment=environment)
    finally:
        os.umask(old)

    assert done.returncode == 0, done.stderr
    assert (again / "second.zip").read_bytes() == (built / "function.zip").read_bytes()


PLANTS_VALUES = """
import base64, collections, json, os, re, typing, zlib
import attrs

TABLE, PORT, DEBUG = os.environ["TABLE"], int(os.environ["PORT"]), os.environ.get("DEBUG") == "1"
for name in ("DB_PASSWORD", "API_KEY"):
    value = os.environ[name]
    data = value.encode()
    for each in (data, base64.b64encode(data), zlib.compress(data), data.hex().encode()):
        re.compile(re.escape(each)), re.compile(re.escape(each).decode("latin-1"))
    collections.namedtuple("R", value), typing.NamedTuple("R", [(value, int)])
    typing.ForwardRef(value)
    attrs.make_class(value, ["x"], frozen=True), attrs.make_class("Made", [value])
    open(f"{name}.txt", "w").write(value)
re.compile(f"{os.getcwd()}|{__file__}|{os.__file__}|{os.environ['HOME']}")
if os.environ["API_KEY"].startswith("sk_live"):
    import live
import later

def handler(event, context):
    return [TABLE, PORT, DEBUG, [*re.escape(value)]]
"""
OWN_KEY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
SHELLS = [
    {"DB_PASSWORD": "correct_horse_battery", "AWS_REGION": "eu-west-1", "PORT": "5432",
     "TABLE": "visits_of_the_first", "DEBUG": "1", "USER": "made-user-one"},
    {"DB_PASSWORD": "another_staple_of_it", "AWS_PROFILE": "made-profile", "TZ": "Asia/Tokyo",
     "PYTHONPYCACHEPREFIX": "", "LC_ALL": "C", "PORT": "not-a-number"},
    {},
]  # fmt: skip


def forms(value: str) -> Iterator[bytes]:
    """Yield the bytes as which the function above compiles a value."""
    data = value.encode()
    for each in (data, base64.b64encode(data), zlib.compress(data), data.hex().encode()):
        yield each
        yield re.escape(each)


@pytest.mark.slow
def test_builds_from_three_shells_are_the_same_bytes_without_their_values(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "shop", "", PLANTS_VALUES)
    (folder / "live.py").touch()
    (folder / "later.py").touch()
    table = '[tool.okibi.functions.shop]\nhandler = "app.handler"\n'
    environment = f'environment = {{ API_KEY = "{OWN_KEY}" }}\n'
    (folder / "pyproject.toml").write_text(table + environment)
    zips = list[bytes]()
    for number, shell in enumerate(SHELLS):
        options = ("shop", "--python", VERSION, "--arch", MACHINE, "-o", f"{tmp_path}/{number}.zip")
        done = run_package(folder, *options, environment=shell)
        assert done.returncode == 0, done.stderr
        # The image is complete: the line says nothing of a failure.
        assert re.search(r"^start image: \d+ modules, [0-9.]+ MB$", done.stderr, re.MULTILINE)
        zips.append((tmp_path / f"{number}.zip").read_bytes())

    assert zips[0] == zips[1] == zips[2]
    task = unpack(tmp_path / "0.zip", tmp_path / "task")
    files = {name: (task / name).read_bytes() for name in names(tmp_path / "0.zip")}
    with (task / "lib/okibi.image").open("rb") as image:
        index, _ = read_index(image.fileno(), files["lib/okibi-package.json"])
    assert {"app", "live", "later"} <= index["folders"][""].keys()
    values = {OWN_KEY, *(value for shell in SHELLS for value in shell.values() if len(value) > 8)}
    planted = [*(form for value in values for form in forms(value)), f"{tmp_path}".encode()]
    found = [
        (name, each)
        for name, data in {**files, "the zip": zips[0]}.items()
        for each in planted
        if each in data or each.lower() in data.lower()
    ]
    assert found == []


@pytest.mark.slow
def test_each_binary_of_a_package_for_the_other_processor_is_for_it(
    built: Path, tmp_path: Path
) -> None:
    done = run_package(
        built, "app.function", "--python", VERSION, "--arch", OTHER, "-o", f"{tmp_path}/x.zip"
    )
    assert done.returncode == 0, done.stderr
    assert "okibi's compiled module is left out" in done.stderr

    machine = parse_target(VERSION, OTHER, "managed").machine
    machines: dict[str, str] = {}
    with zipfile.ZipFile(tmp_path / "x.zip") as opened:
        for name in opened.namelist():
            if (elf := read_elf(opened.read(name))) is not None:
                machines[name] = elf.machine
    assert {*machines.values()} == {machine}
    modules = {name.split("/")[-2] for name in machines}
    assert {"markupsafe", "msgspec", "parser"} <= modules
    assert "lib/okibi/runtime/system/native.abi3.so" not in machines


@pytest.mark.slow
def test_a_locked_project_gets_the_versions_of_its_lock(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text("def handler(event, context): pass\n")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["itsdangerous<2.2", "attrs==25.1.0"]\n[dependency-groups]\n'
        'dev = ["iniconfig"]\n'
    )
    subprocess.run(
        [find_uv(), "lock", "--quiet", "--python", sys.executable], cwd=folder, check=True
    )

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 0, done.stderr
    assert "requirements: uv.lock" in done.stderr
    found = names(folder / "function.zip")
    infos = {name.split("/")[-2] for name in found if name.endswith(".dist-info/METADATA")}
    assert {"itsdangerous-2.1.2.dist-info", "attrs-25.1.0.dist-info"} <= infos
    assert not any(info.startswith("iniconfig") for info in infos)
    assert "lib/attr/__init__.py" in found

    (folder / "pyproject.toml").write_text(
        (folder / "pyproject.toml").read_text().replace("<2.2", "==2.2")
    )
    done = run_package(folder, "app.handler", "--python", VERSION)
    assert done.returncode == 2
    assert done.stderr.startswith("okibi: uv.lock does not match pyproject.toml; run: uv lock\n")


PRICES = """
[project]
name = "okibi-test-prices"
version = "1"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["prices"]
"""
OF_TWO_INDEXES = """
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = ["okibi-test-prices", "itsdangerous"]
[tool.uv.sources]
okibi-test-prices = {{ index = "ours" }}
[[tool.uv.index]]
name = "ours"
url = "{url}"
explicit = true
"""


def make_prices(folder: Path) -> Path:
    (folder / "prices").mkdir(parents=True)
    (folder / "prices" / "__init__.py").write_text("PRICE = 3\n")
    (folder / "pyproject.toml").write_text(PRICES)
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index with one package that PyPI does not have."""
    pages = tmp_path / "index" / "okibi-test-prices"
    source = make_prices(tmp_path / "source")
    options = ("--quiet", "--wheel", f"--out-dir={pages}", f"--python={sys.executable}")
    subprocess.run([find_uv(), "build", *options, source], check=True)
    (wheel,) = pages.glob("*.whl")
    (pages / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    handler = partial(SimpleHTTPRequestHandler, directory=str(pages.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.slow
def test_packages_come_from_the_index_that_the_project_names(index: str, tmp_path: Path) -> None:
    app = "import prices\nhandler = print\n"
    listed = make_project(
        tmp_path / "listed", f"--extra-index-url {index}\nokibi-test-prices\nitsdangerous\n", app
    )
    locked = make_project(tmp_path / "locked", "", app)
    (locked / "pyproject.toml").write_text(OF_TWO_INDEXES.format(url=index))
    subprocess.run(
        [find_uv(), "lock", "--quiet", f"--python={sys.executable}"], cwd=locked, check=True
    )

    for folder in (listed, locked):
        done = run_package(folder, "app.handler", "--python", VERSION)

        assert done.returncode == 0, done.stderr
        assert {"prices/__init__.py", "itsdangerous/__init__.py"} <= {
            *names(folder / "function.zip")
        }

    lock = locked / "uv.lock"
    lock.write_text(re.sub(r'hash = "sha256:.', 'hash = "sha256:0', lock.read_text()))
    done = run_package(locked, "app.handler", "--python", VERSION)
    assert done.returncode == 2
    assert "is not the file that was locked: its hash differs" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("requirements", "sentence"),
    [("pycrypto==2.6.1", "pycrypto has no wheel for Python "),
     ("itsdangerous==2.2\nitsdangerous==2.1",
      "the requirements on itsdangerous contradict each other"),
     ("trio<0.20", "the requirements on trio contradict each other"),
     ("no-such-package-of-okibi-tests", "no-such-package-of-okibi-tests does not exist in the")],
    ids=["no wheel", "contradiction", "too old for okibi", "unknown"],
)  # fmt: skip
def test_requirements_that_cannot_be_met_are_one_sentence_and_uv_s_text(
    requirements: str, sentence: str, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "shop", f"{requirements}\n")

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 2
    assert done.stderr.startswith(f"okibi: {sentence}")
    assert len(done.stderr.splitlines()) > 1
    assert not (folder / "function.zip").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["name", "extra", "folder", "editable"])
def test_okibi_among_the_requirements_is_the_installed_one(kind: str, tmp_path: Path) -> None:
    lines = {"name": "okibi", "extra": "okibi[cli]", "folder": f"{ROOT}", "editable": f"-e {ROOT}"}
    app = "def handler(event, context): pass\n"
    folder = make_project(tmp_path / "shop", f"{lines[kind]}\n", app)

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 0, done.stderr
    found = names(folder / "function.zip")
    assert "lib/okibi/runtime/__main__.py" in found
    assert not any("typer" in name for name in found)


@pytest.mark.slow
def test_a_folder_among_the_requirements_is_copied_not_linked(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "shop", "-e ./prices\n", "import prices\nhandler = print\n")
    make_prices(folder / "prices")
    (folder / "pyproject.toml").write_text('[tool.okibi.package]\nexclude = ["prices/prices"]\n')

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 0, done.stderr
    found = names(folder / "function.zip")
    assert "prices/__init__.py" in found
    assert not any(name.endswith(".pth") or "prices/prices" in name for name in found)


def make_requirement(folder: Path, files: Mapping[str, str]) -> None:
    """A project whose wheel has some files at its top."""
    folder.mkdir()
    included = "".join(f'"{name}" = "{name}"\n' for name in files)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "okibi-test-{folder.name}"\nversion = "1"\n[build-system]\n'
        'requires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        "[tool.hatch.build.targets.wheel]\nbypass-selection = true\n"
        f"[tool.hatch.build.targets.wheel.force-include]\n{included}"
    )
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.slow
def test_a_file_of_two_requirements_is_packaged_once_or_refused(tmp_path: Path) -> None:
    app = "import shared\ndef handler(event, context): pass\n"
    folder = make_project(tmp_path / "shop", "-e ./first\n-e ./second\n", app)
    (folder / "pyproject.toml").write_text('[tool.okibi.package]\nexclude = ["first", "second"]\n')
    for name in ("first", "second"):
        make_requirement(folder / name, {"shared.py": "X = 1\n"})

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert names(folder / "function.zip").count("shared.py") == 1

    (folder / "second" / "shared.py").write_text("X = 2\n")
    done = run_package(folder, "app.handler", "--python", VERSION)
    assert done.returncode == 2
    assert "okibi: shared.py is in okibi-test-first and in okibi-test-second, with" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "what"),
    [("bootstrap", "would replace the script that starts the function"),
     ("lib/json.py", "would hide a module of the same name")],
)  # fmt: skip
def test_a_requirement_that_would_replace_what_starts_the_function_is_refused(
    name: str, what: str, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "shop", "-e ./first\n", "handler = print\n")
    make_requirement(folder / "first", {name: "X = 1\n"})

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 2
    assert done.stderr.startswith(f"okibi: {name} of okibi-test-first {what}")


@pytest.mark.slow
def test_bytecode_and_the_image_count_with_what_lambda_limits(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(built / "function.zip") as opened:
        sizes = {entry.filename: entry.file_size for entry in opened.infolist()}
    sources = sum(size for name, size in sizes.items() if not name.endswith((".pyc", ".image")))
    monkeypatch.setattr("okibi.packaging.size_limits.UNZIPPED", sources + 1000)
    monkeypatch.chdir(built)

    code = package("app.function", VERSION, MACHINE, output=Path("larger.zip"), record=False)

    assert code == 2
    assert "unzipped, and Lambda allows" in capsys.readouterr().err
    assert not (built / "larger.zip").exists()


@pytest.mark.slow
def test_a_module_that_python_cannot_compile_is_refused(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "shop", "", "def handler(event, context):\n    return (\n")

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 2
    assert "app.py: Python" in done.stderr
    assert "cannot compile it (line 2: '(' was never closed)" in done.stderr


@pytest.mark.slow
def test_what_would_fail_on_lambda_is_said_last(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "shop", "", "import no_such_module\nhandler = print\n")
    (folder / "id_rsa").write_text("")
    (folder / "pyproject.toml").write_text('[tool.okibi.package]\nexclude = ["*.mdd"]\n')

    done = run_package(folder, "app.handler", "--python", VERSION)

    assert done.returncode == 0
    assert "id_rsa looks like a secret" in done.stderr
    assert "exclude '*.mdd' in [tool.okibi.package] matches no file" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "warning: app.handler does not load: Runtime.ImportModuleError: Unable to import module"
        " 'app': No module named 'no_such_module'; add the package that has no_such_module to"
        " requirements.txt, unless a layer has it"
    )
    table = done.stdout.splitlines()
    assert table[0].endswith("ms to import")
    assert any(line.startswith("start image ") for line in table)
    assert table[-1].startswith("function.zip: ")


@pytest.mark.slow
def test_a_file_that_was_edited_in_uv_s_cache_is_named(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "shop", "itsdangerous==2.2\n", "handler = print\n")
    cache = {"UV_CACHE_DIR": str(tmp_path / "cache")}
    assert run_package(folder, "--python", VERSION, environment=cache).returncode == 0
    (edited,) = (tmp_path / "cache").glob("archive-*/*/itsdangerous/timed.py")
    edited.write_text("print()\n")

    done = run_package(folder, "--python", VERSION, environment=cache)

    assert "itsdangerous/timed.py of itsdangerous 2.2.0 is not the wheel's file" in done.stderr
    assert "run uv cache clean itsdangerous" in done.stderr


# -- arguments


@pytest.mark.parametrize(
    ("handler", "options", "sentence"),
    [("./app.handler", {}, "handler './app.handler' starts with no module"),
     ("app.handler", {"output": Path("no/such/folder.zip")}, "there is no folder"),
     ("app.handler", {"output": Path(".")}, "is a folder; name a file"),
     ("app.handler", {"python": "2.7"}, "--python 2.7: must be one of"),
     ("app.handler", {}, "has no files; run okibi package in the function's folder"),
     (None, {"check": Path("x.zip")}, "x.zip: cannot be read (No such file or directory)")],
    ids=["handler", "output", "folder", "python", "empty", "check"],
)  # fmt: skip
def test_a_wrong_argument_is_one_sentence(
    handler: str | None,
    options: dict[str, Any],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    code = package(handler, **options)

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1


NO_OPTIONS = (None, None, "managed")
SHOP = """
[tool.okibi]
python = "3.12"
[tool.okibi.functions.visits]
handler = "shop.visits"
architecture = "arm64"
environment = { LEVEL = "debug" }
table = { partition_key = "id" }
entities = true
"""
CART = '[tool.okibi.functions.cart]\nhandler = "shop.cart"\npython = "3.14"\n'


@pytest.mark.parametrize(
    ("tables", "asked", "options", "expected"),
    [(SHOP, None, NO_OPTIONS, ("shop.visits", "3.12", "arm64")),
     (SHOP + CART, "cart", NO_OPTIONS, ("shop.cart", "3.14", "x86_64")),
     (SHOP + CART, "shop.visits", NO_OPTIONS, ("shop.visits", "3.12", "arm64")),
     (SHOP + CART, None, NO_OPTIONS, ("", "3.12", "x86_64")),
     (SHOP, "app.other", NO_OPTIONS, ("app.other", "3.12", "x86_64")),
     (SHOP, "visits", ("3.13", "x86_64", "managed"), ("shop.visits", "3.13", "x86_64")),
     (SHOP, None, (None, None, "layer"), ("", "3.12", "arm64"))],
    ids=["only one", "name", "handler", "none of two", "without a table", "options", "layer"],
)  # fmt: skip
def test_a_function_s_table_says_what_the_options_do_not(
    tables: str,
    asked: str | None,
    options: tuple[str | None, str | None, str],
    expected: tuple[str, str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(tables)

    made = plan_package(asked, *options, None)

    target = made.target
    assert (made.handler, target.python_version, target.architecture) == expected
    if made.handler == "shop.visits":
        assert made.environment == {
            "LEVEL": "debug",
            "TABLE_NAME": "table",
            "OKIBI_ENTITIES": "table",
            "OKIBI_ENTITIES_ROLE": "arn:aws:iam::012345678912:role/local",
        }


def test_an_unknown_function_is_refused_with_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(SHOP)

    with pytest.raises(BadInput, match=r"no function 'visit': pyproject\.toml has visits"):
        plan_package("visit", *NO_OPTIONS, None)


@pytest.mark.slow
def test_the_command_line_passes_its_options_on(tmp_path: Path) -> None:
    done = run_package(tmp_path, "--check", "x.zip", "--python", "3.12", "--arch", "arm64")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "okibi: x.zip: cannot be read (No such file or directory)\n"
