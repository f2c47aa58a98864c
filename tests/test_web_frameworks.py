"""The samples of docs/web-frameworks.md, run as the page has them."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from okibi import Function
from okibi.testing import running, sample_event, virtual_time

PAGE = (Path(__file__).parents[1] / "docs" / "web-frameworks.md").read_text("utf-8")
SAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def find(words: str) -> str:
    """The first sample that contains the words."""
    return next(str(sample) for sample in SAMPLES if words in sample)


def load(words: str) -> Any:
    """Run the first sample that contains the words, as a module."""
    module = ModuleType("app")
    exec(compile(find(words), words, "exec"), vars(module))
    return module


def read_function(words: str) -> Function:
    function: Function = load(words).function
    return function


@virtual_time
async def test_routes_on_the_loop_and_in_threads_reach_the_actor() -> None:
    async with running(read_function("VISITS")) as app:
        answers = [
            await app.invoke(sample_event("function-url", path=path))
            for path in ("/async", "/thread")
        ]

    assert [answer["body"] for answer in answers] == ["1", "2"]


@virtual_time
async def test_the_stream_is_sent_in_parts() -> None:
    async with (
        running(read_function("send_ticks"), timeout=10) as app,
        app.stream(sample_event("function-url", path="/ticks")) as answer,
    ):
        parts = [part async for part in answer]

    assert parts[-3:] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


@virtual_time
async def test_messages_go_to_the_other_handler(capsys: pytest.CaptureFixture[str]) -> None:
    async with running(read_function("other=take_messages")) as app:
        await app.invoke(sample_event("sqs", count=3))

    assert capsys.readouterr().out == "3 messages\n"


@pytest.mark.slow
def test_the_test_on_the_page_passes(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SAMPLES[0])
    (tmp_path / "test_app.py").write_text(find("def test_"))

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert "1 passed" in done.stdout, done.stdout
