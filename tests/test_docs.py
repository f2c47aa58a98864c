"""The samples of README and docs/ run, print what the page says, and pass the type checker."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.local import FunctionSettings, open_local_lambda
from okibi.runtime.settings import read_settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
TABLE = Path(__file__).parent / "runtime"
SAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
PRINTED = re.compile(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", re.DOTALL)
SAMPLES = [
    pytest.param(sample, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, sample in enumerate(SAMPLE.findall(page.read_text("utf-8")))
]
FUNCTION = "function = Function(handler=Greeter, children=[Child(Visits, name=VISITS)])"


def sample_of(page: Path, word: str) -> str:
    """The first sample of a page that contains a word."""
    for sample in SAMPLE.findall(page.read_text("utf-8")):
        if word in sample:
            return str(sample)
    pytest.fail(f"{page.name} has no sample with {word}")


@pytest.mark.parametrize("page", [README, DOCS / "first-function.md"], ids=lambda page: page.name)
async def test_the_function_of_a_first_page_is_served(page: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(page, FUNCTION))
    settings = FunctionSettings(
        handler="app.function",
        command=(sys.executable, "-P", "-m", "okibi.runtime"),
        task_root=tmp_path,
    )

    async with open_local_lambda(settings) as function:
        await function.invoke(b'{"name": "bob"}')
        answer = await function.invoke(b'{"name": "bob"}')
        refused = await function.invoke(b'{"nome": "bob"}')

    assert answer.payload == b'{"message":"hello bob","visit":2}'
    assert refused.error_type == "Runtime.UnmarshalError"
    assert b"`name`" in refused.payload


async def test_the_sample_of_a_stream_is_streamed(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "streaming.md", "Prelude"))
    settings = FunctionSettings(
        handler="app.handler",
        command=(sys.executable, "-P", "-m", "okibi.runtime"),
        task_root=tmp_path,
    )

    async with (
        open_local_lambda(settings) as function,
        function.stream(b'{"count": 3}') as answer,
    ):
        pieces = [piece async for piece in answer]
        result = await answer.result()

    prelude, _, said = b"".join(pieces).partition(b"\0" * 8)
    assert prelude == b'{"statusCode":200,"headers":{"content-type":"text/event-stream"}}'
    assert said == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert result.error_type is None


@pytest.mark.parametrize(
    ("sample", "printed"),
    [
        pytest.param(*found, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, found in enumerate(PRINTED.findall(page.read_text("utf-8")))
    ],
)
def test_a_sample_prints_what_its_page_says(sample: str, printed: str, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(sample)

    done = subprocess.run(
        [sys.executable, "sample.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_python(sample: str) -> None:
    compile(sample, "sample", "exec")


@pytest.mark.slow
def test_all_samples_pass_the_type_checker(tmp_path: Path) -> None:
    for number, sample in enumerate(SAMPLES):
        name = re.sub(r"\W", "_", str(sample.id))
        (tmp_path / f"sample_{number}_{name}.py").write_text(str(sample.values[0]))

    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"),
            *("--allow-untyped-defs", "--allow-untyped-calls", "--cache-dir", str(tmp_path / "c")),
            *("--config-file", "/dev/null", *map(str, sorted(tmp_path.glob("*.py")))),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


def test_the_tests_of_the_pages_on_testing_pass(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(README, FUNCTION))
    pages = (DOCS / "testing.md", DOCS / "first-function.md")
    samples = [found for page in pages for found in SAMPLE.findall(page.read_text("utf-8"))]
    tests = [sample for sample in samples if "def test_" in sample]
    for number, sample in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(sample)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert f"{len(tests)} passed" in done.stdout, done.stdout
    assert len(tests) == 7


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_target_and_page_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)

    assert set(re.findall(r"`make ([\w-]+)", text)) <= {*targets}
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / link).exists(), link


COMPILED = """
import sys
compiled = []
def hook(event, arguments):
    # Files only: attrs compiles the methods that it creates.
    if event == "compile" and str(arguments[1]).endswith(".py"):
        compiled.append(arguments[1])
sys.addaudithook(hook)
import app, okibi.runtime.bootstrap
print(compiled)
"""


@pytest.mark.parametrize("as_told", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_is_compiled_as_the_page_says_is_not_compiled_again_after_a_zip(
    as_told: bool, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    shutil.copytree(ROOT / "okibi", package / "lib" / "okibi")
    (package / "app.py").write_text("import okibi.runtime\n")
    (command,) = re.findall(
        r"^    python3 (-m compileall .*)", (DOCS / "deploy.md").read_text("utf-8"), re.M
    )
    arguments = command.split() if as_told else ["-m", "compileall", "-q", "package"]
    subprocess.run([sys.executable, *arguments], cwd=tmp_path, check=True)
    for path in package.rglob("*.py"):
        os.utime(path, (315532800, 315532800))  # 1980, the earliest in a zip

    done = subprocess.run(
        [sys.executable, "-P", "-c", COMPILED],
        env={
            **os.environ,
            "PYTHONPATH": f"{package}:{package}/lib",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout == "[]\n") == as_told, done.stdout


async def test_lambda_starts_the_script_of_a_package_as_a_wrapper(tmp_path: Path) -> None:
    settings = await _packaged(tmp_path)
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event\n")

    async with open_local_lambda(settings) as function:
        assert (await function.invoke(b'{"n": 1}')).payload == b'{"n": 1}'


async def test_the_script_of_a_package_keeps_pythonpath(
    tmp_path: Path,
) -> None:
    own = tmp_path / "src"
    own.mkdir()
    (own / "mine.py").write_text("def handler(event, context):\n    return event\n")
    (tmp_path / "app.py").write_text("from mine import handler\n")
    settings = await _packaged(tmp_path, PYTHONPATH=str(own))

    async with open_local_lambda(settings) as function:
        assert (await function.invoke(b'{"n": 1}')).payload == b'{"n": 1}'


async def _packaged(folder: Path, **environment: str) -> FunctionSettings:
    """A function started by the script of docs/deploy.md, in place of what Lambda would start."""
    (command,) = re.findall(r"^    (printf .*)", (DOCS / "deploy.md").read_text("utf-8"), re.M)
    (folder / "package").mkdir()
    told = command.replace("/var/task/lib", str(ROOT))
    await trio.run_process(["sh", "-c", told], cwd=folder)
    script = folder / "package" / "bootstrap"
    script.chmod(0o755)
    return FunctionSettings(
        handler="app.handler",
        # Lambda passes a wrapper the command that it replaces.
        command=(str(script), sys.executable, "-m", "awslambdaric"),
        task_root=folder,
        environment={
            "AWS_LAMBDA_EXEC_WRAPPER": str(script),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environment,
        },
    )


def test_each_row_beside_the_official_client_has_its_test_and_each_test_its_row() -> None:
    section = (DOCS / "compatibility.md").read_text("utf-8")
    rows = [line for line in section.splitlines() if line.startswith("|")]
    heads = [n for n, line in enumerate(rows) if line.startswith("| --- |")]
    told = [line for n, line in enumerate(rows) if n not in heads and n + 1 not in heads]
    named = [match[1] for line in told if (match := re.search(r"\| `(\w+)` \|$", line))]
    files = sorted(TABLE.glob("test_compatibility_table*.py"))
    tests = [
        name
        for path in files
        for name in re.findall(r"^async def test_(\w+)", path.read_text("utf-8"), re.M)
    ]

    assert len(named) == len(told) > 30
    assert sorted(named) == sorted(tests)


@pytest.mark.parametrize("layer", ["actors", "supervisors", "runtime", "local"])
def test_the_api_page_of_a_layer_lists_its_public_names(layer: str) -> None:
    page = (DOCS / "api" / f"{layer}.md").read_text("utf-8")
    listed = re.findall(rf"^\.\. auto\w+:: okibi\.{layer}\.(\w+)$", page, re.M)

    assert sorted(listed) == sorted(import_module(f"okibi.{layer}").__all__)


class RecordingEnvironment(dict[str, str]):
    """An environment that records the names asked for."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
        self.names = set[str]()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_each_variable_of_okibi_s_own_has_its_row_with_its_default() -> None:
    rows = re.findall(
        r"^\| `(OKIBI_\w+)` \|.* \| `(\w+)` \|$",
        (DOCS / "configuration.md").read_text("utf-8"),
        re.M,
    )
    least = RecordingEnvironment(AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001")

    settings = read_settings(least, ["app.handler"])

    # Read by the actors, which work without the runtime.
    read = {"OKIBI_TRACE", *(name for name in least.names if name.startswith("OKIBI_"))}
    assert read == {name for name, _ in rows}
    assert read_settings({**least, **dict(rows)}, ["app.handler"]) == settings
