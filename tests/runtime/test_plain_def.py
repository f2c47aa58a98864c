"""A plain `def` written for AWS's own Python runtime: what it does there, it does here.

Each case runs on both, the official client only where it is installed.
"""

import sys
from importlib.util import find_spec

import pytest

from tests.runtime.sandbox import COMMAND, running
from tests.runtime.site import site

ABSENT = find_spec("awslambdaric") is None

both = pytest.mark.parametrize(
    "command",
    [
        pytest.param(COMMAND, id="okibi"),
        pytest.param(
            (sys.executable, "-m", "awslambdaric"),
            id="awslambdaric",
            marks=pytest.mark.skipif(
                ABSENT, reason="awslambdaric is not installed: pip install awslambdaric"
            ),
        ),
    ],
)
Command = tuple[str, ...]


def arguments(command: Command, handler: str) -> Command:
    """The official client is given its handler as an argument."""
    return command if command == COMMAND else (*command, handler)


@both
async def test_a_module_level_sqlite3_connection_serves_every_invocation(command: Command) -> None:
    handler = "official.database"
    async with running(handler, command=arguments(command, handler)) as sandbox:
        assert [await sandbox.ask() for _ in range(3)] == [1, 2, 3]


@both
async def test_signal_works_as_on_any_main_thread(command: Command) -> None:
    handler = "official.signals"
    async with running(handler, command=arguments(command, handler)) as sandbox:
        assert [await sandbox.ask() for _ in range(2)] == [["alarm"], ["alarm"]]


@both
async def test_asyncio_run_runs_in_every_invocation(command: Command) -> None:
    handler = "official.loop"
    async with running(handler, command=arguments(command, handler)) as sandbox:
        for n in range(3):
            assert await sandbox.ask({"a": n}) == {"asyncio": {"a": n}}


@both
async def test_a_module_level_asyncio_loop_is_used_again_and_again(command: Command) -> None:
    handler = "official.kept_loop"
    async with running(handler, command=arguments(command, handler)) as sandbox:
        for n in range(3):
            assert await sandbox.ask({"a": n}) == {"asyncio": {"a": n}}


@both
async def test_it_runs_on_the_main_thread_with_no_loop_around_it(command: Command) -> None:
    handler = "official.threads"
    async with running(handler, command=arguments(command, handler)) as sandbox:
        assert await sandbox.ask() == [True, "no running event loop", True]


@pytest.mark.skipif(find_spec("boto3") is None, reason="boto3 is not installed: pip install boto3")
@both
async def test_a_boto3_client_that_the_module_keeps_speaks_to_its_service(command: Command) -> None:
    handler = "official.boto"
    async with (
        site({"Item": {"seen": {"N": "7"}}}) as served,
        running(handler, command=arguments(command, handler)) as sandbox,
    ):
        for _ in range(2):
            assert await sandbox.ask({"url": served.url}) == ["7", True]
        assert len(served.requests) == 2
        assert served.connections == 1
        assert b"DynamoDB_20120810.GetItem" in served.requests[0]


@pytest.mark.parametrize("handler", ["official.loop", "official.kept_loop", "official.threads"])
async def test_the_asyncio_loop_beside_it_changes_nothing_for_a_plain_def(handler: str) -> None:
    async with running(handler, environment={"OKIBI_LOOP": "asyncio"}) as sandbox:
        expected: object = {"asyncio": {"a": 1}}
        if handler == "official.threads":
            expected = [True, "no running event loop", True]
        for _ in range(2):
            assert await sandbox.ask({"a": 1}) == expected
