"""A plain `def` for AWS's own Python runtime behaves the same on okibi.

Each test runs on okibi, and on the official client if installed.
"""

import sys
from importlib.util import find_spec

import pytest

from tests.support.http_site import site
from tests.support.sandbox import COMMAND, Running, running

ABSENT = find_spec("awslambdaric") is None

both = pytest.mark.parametrize(
    "command",
    [
        pytest.param(COMMAND, id="okibi"),
        pytest.param(
            (sys.executable, "-m", "awslambdaric"),
            id="awslambdaric",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(
                    ABSENT, reason="awslambdaric is not installed: pip install awslambdaric"
                ),
            ],
        ),
    ],
)
Command = tuple[str, ...]


def arguments(command: Command, handler: str) -> Command:
    """The official client takes the handler as an argument."""
    return command if command == COMMAND else (*command, handler)


THREADS = [True, "no running event loop", True]
TOLD: list[tuple[str, list[object]]] = [
    # What the module keeps; signals, which are the main thread's; and loops of asyncio's.
    ("database", [1, 2, 3]),
    ("signals", [["alarm"], ["alarm"]]),
    ("threads", [THREADS]),
    ("loop", [{"asyncio": {"a": 1}}] * 2),
    ("kept_loop", [{"asyncio": {"a": 1}}] * 2),
    ("loop", [{"asyncio": {"a": 1}}]),
]


@both
async def test_a_plain_def_has_state_the_main_thread_and_asyncio_run(command: Command) -> None:
    handler = "official.every"
    async with running(handler, command=arguments(command, handler)) as sandbox:
        await check_plain_def(sandbox)


@pytest.mark.slow
async def test_okibi_s_asyncio_loop_does_not_affect_a_plain_def() -> None:
    async with running("official.every", environment={"OKIBI_LOOP": "asyncio"}) as sandbox:
        await check_plain_def(sandbox)


async def check_plain_def(sandbox: Running) -> None:
    for do, told in TOLD:
        event = {"do": do, "event": {"a": 1}}
        assert [await sandbox.ask(event) for _ in told] == told, do


@pytest.mark.slow
@pytest.mark.skipif(find_spec("boto3") is None, reason="boto3 is not installed: pip install boto3")
@both
async def test_a_boto3_client_of_the_module_works_in_every_event(command: Command) -> None:
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
