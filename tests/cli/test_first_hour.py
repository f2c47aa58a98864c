"""The first hour of a new user: okibi new, okibi dev, curl, edit, curl, pytest."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.limits import HANG

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OKIBI = (sys.executable, "-u", "-m", "okibi.cli")


def run(folder: Path, *command: str) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Iterator[str]]:
    """Run `okibi dev` in a folder until the block ends; yield its lines."""
    process = subprocess.Popen(
        [*OKIBI, "dev", "--port", "0", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield iter(process.stdout)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(HANG) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def read_until(lines: Iterator[str], word: str) -> str:
    """Read lines until one contains a word; return it."""
    return next(line for line in lines if word in line)


def get(url: str) -> Any:
    """Get JSON, as curl does."""
    with urllib.request.urlopen(url, timeout=HANG) as response:
        return json.loads(response.read())


def replace(file: Path, old: str, new: str) -> None:
    """Save a changed file."""
    content = file.read_text("utf-8")
    assert old in content
    file.write_text(content.replace(old, new), "utf-8")


@pytest.mark.slow
def test_new_dev_curl_edit_curl_pytest(tmp_path: Path) -> None:
    run(tmp_path, *OKIBI, "new", "hello")
    folder = tmp_path / "hello"
    with serving(folder) as lines:
        url = read_until(lines, "okibi dev serves http").split()[-1]
        first = [get(f"{url}/?name=Ada") for _ in range(2)]
        replace(folder / "app.py", "hello {name}", "welcome {name}")
        read_until(lines, "reloaded")
        second = get(f"{url}/?name=Ada")
        tree = run(folder, *OKIBI, "tree", "--live", "--port", url.rpartition(":")[2])

    assert first == [
        {"message": "hello Ada", "visit": 1},
        {"message": "hello Ada", "visit": 2},
    ]
    assert second == {"message": "welcome Ada", "visit": 1}
    assert "visits (Visits), running for " in tree
    replace(folder / "tests" / "test_app.py", "hello ", "welcome ")
    # An IDE runs a test in the test's own folder.
    for start in (folder, folder / "tests"):
        assert " passed" in run(start, sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    assert run(folder, *OKIBI, "check") == "app.function loads: Handler class, 1 child\n"


@pytest.mark.slow
def test_the_commands_of_readme_serve_its_samples(tmp_path: Path) -> None:
    text = README.read_text("utf-8")
    for name, sample in re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", text, re.S):
        (tmp_path / name).write_text(sample)
    served = re.findall(r"^    okibi dev (\S+).*\n    curl '(\S+)' +# (.*)$", text, re.M)

    assert [handler for handler, _, _ in served] == ["hello.handler", "app.function"]
    for handler, address, comment in served:
        with serving(tmp_path, handler) as lines:
            url = read_until(lines, "okibi dev serves http").split()[-1]
            answers = [get(address.replace("http://localhost:9000", url)) for _ in range(2)]
        assert answers[0]["message"] == "hello bob"
        if comment.startswith("{"):
            assert answers == [
                json.loads(comment.partition(", and")[0]),
                {**answers[0], "visit": 2},
            ]
