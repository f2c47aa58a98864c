"""The pytest plugin: its fixtures, and what loading it costs."""

import subprocess
import sys

import pytest

from okibi import Context

# pytest loads it after the plugins.
CONFTEST = """
import sys
LOADED = {name for name in sys.modules if name.partition(".")[0] in ("okibi", "trio", "attrs")}
"""
TESTS = """
from conftest import LOADED
from okibi.testing import running, virtual_time

def test_the_plugin_alone_imports_nothing():
    assert LOADED == {"okibi", "okibi.testing", "okibi.testing.pytest_plugin"}

async def handler(event, context):
    return event

@virtual_time
async def test_a_function_runs(lambda_context):
    async with running(handler) as app:
        assert await app.invoke(1) == await handler(1, lambda_context)

class TestInAClass:
    @virtual_time
    async def test_a_method(self, tmp_path):
        async with running(handler) as app:
            assert await app.invoke(str(tmp_path)) == str(tmp_path)

async def divide(event, context):
    return 1 / event

@virtual_time
async def test_a_failure():
    async with running(divide) as app:
        await app.invoke(0)
"""
UNMARKED = """
from okibi.testing import running

async def test_it():
    async with running(print): pass
"""
# Plugins of other libraries, which import trio.
OTHERS = ("-p", "no:trio", "-p", "no:anyio", "-p", "no:hypothesispytest")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of a pytest that has no other plugin."""
    folder = tmp_path_factory.mktemp("tests")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    (folder / "test_unmarked.py").write_text(UNMARKED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *OTHERS]

    done = subprocess.run(
        [*command, "--rootdir", "."], cwd=folder, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_async_tests_run_and_fail_without_another_plugin(output: str) -> None:
    assert "2 failed, 3 passed" in output, output
    # The report of a failure has the handler's line and the test's, and no frame of okibi.
    assert [line for line in output.splitlines() if line.startswith(">")] == [
        ">       return 1 / event", ">           await app.invoke(0)",
    ]  # fmt: skip


def test_an_unmarked_async_test_fails_with_the_mark_to_add(output: str) -> None:
    assert "With okibi: mark it with @virtual_time." in output, output


def test_a_test_gets_a_context(lambda_context: Context) -> None:
    assert lambda_context.get_remaining_time_in_millis() > 0
