"""The README's samples run as they stand there, and print what it says they do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.local import FunctionSettings, open_local_lambda
from okibi.runtime.settings import settings_from

README = Path(__file__).parent.parent / "README.md"
TABLE = Path(__file__).parent / "runtime"


async def test_the_sample_of_the_readme_is_served(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    if found is None:
        pytest.fail("the README has no sample")
    (tmp_path / "app.py").write_text(found[1])
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
    found = re.search(
        r"### Stream a response\n.*?```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL
    )
    if found is None:
        pytest.fail("the README has no sample of a stream")
    (tmp_path / "app.py").write_text(found[1])
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


PRINTED = re.compile(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(("sample", "printed"), PRINTED.findall(README.read_text("utf-8")))
def test_a_sample_prints_what_the_readme_says(sample: str, printed: str, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(sample)

    done = subprocess.run(
        [sys.executable, "sample.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


def test_the_manual_has_its_samples() -> None:
    assert len(PRINTED.findall(README.read_text("utf-8"))) == 4


COMPILED = """
import sys
compiled = []
def hook(event, arguments):
    # Of a file: attrs compiles the methods that it makes.
    if event == "compile" and str(arguments[1]).endswith(".py"):
        compiled.append(arguments[1])
sys.addaudithook(hook)
import app, okibi.runtime.bootstrap
print(compiled)
"""


@pytest.mark.parametrize("as_told", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_is_compiled_as_the_readme_says_is_not_compiled_again_after_a_zip(
    as_told: bool, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    shutil.copytree(README.parent / "okibi", package / "lib" / "okibi")
    (package / "app.py").write_text("import okibi.runtime\n")
    (command,) = re.findall(r"^    python3 (-m compileall .*)", README.read_text("utf-8"), re.M)
    arguments = command.split() if as_told else ["-m", "compileall", "-q", "package"]
    subprocess.run([sys.executable, *arguments], cwd=tmp_path, check=True)
    for path in package.rglob("*.py"):
        os.utime(path, (315532800, 315532800))  # 1980, the first that a zip knows

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


async def test_lambda_starts_the_script_of_a_package_as_it_starts_a_wrapper(tmp_path: Path) -> None:
    settings = await _packaged(tmp_path)
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event\n")

    async with open_local_lambda(settings) as function:
        assert (await function.invoke(b'{"n": 1}')).payload == b'{"n": 1}'


async def test_the_script_of_a_package_leaves_the_function_the_path_that_it_was_given(
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
    """A function started by the README's script, in place of what Lambda would start."""
    (command,) = re.findall(r"^    (printf .*)", README.read_text("utf-8"), re.M)
    (folder / "package").mkdir()
    told = command.replace("/var/task/lib", str(README.parent))
    await trio.run_process(["sh", "-c", told], cwd=folder)
    script = folder / "package" / "bootstrap"
    script.chmod(0o755)
    return FunctionSettings(
        handler="app.handler",
        # A wrapper is given what it is in the place of.
        command=(str(script), sys.executable, "-m", "awslambdaric"),
        task_root=folder,
        environment={
            "AWS_LAMBDA_EXEC_WRAPPER": str(script),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environment,
        },
    )


def test_each_row_beside_the_official_client_has_its_test_and_each_test_its_row() -> None:
    section = (
        README.read_text("utf-8").partition("\n## What a function gains")[2].partition("\n## ")[0]
    )
    rows = [line for line in section.splitlines() if line.startswith("|")]
    heads = [n for n, line in enumerate(rows) if line.startswith("| --- |")]
    told = [line for n, line in enumerate(rows) if n not in heads and n + 1 not in heads]
    named = [match[1] for line in told if (match := re.search(r"\| `(\w+)` \|$", line))]
    files = sorted(TABLE.glob("test_readme_table*.py"))
    tests = [
        name
        for path in files
        for name in re.findall(r"^async def test_(\w+)", path.read_text("utf-8"), re.M)
    ]

    assert len(named) == len(told) > 30
    assert sorted(named) == sorted(tests)


class Asked(dict[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
        self.names = set[str]()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_each_variable_of_okibi_s_own_has_its_row_with_its_default() -> None:
    rows = re.findall(r"^\| `(OKIBI_\w+)` \|.* \| `(\w+)` \|$", README.read_text("utf-8"), re.M)
    least = Asked(AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001")

    settings = settings_from(least, ["app.handler"])

    assert {name for name in least.names if name.startswith("OKIBI_")} == {name for name, _ in rows}
    assert settings_from({**least, **dict(rows)}, ["app.handler"]) == settings
