"""Signals cancel the work of a command."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from okibi.cli.until_signal import until_signal
from okibi.project.bad_input import BadInput
from tests.limits import HANG

HANGUP = signal.SIGHUP


@pytest.fixture
def hangup() -> Iterator[None]:
    """Give SIGHUP its default action, also when the tests run under `nohup`."""
    before = signal.signal(HANGUP, signal.SIG_DFL)
    yield
    signal.signal(HANGUP, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (HANGUP, 129)]
)
async def test_a_signal_cancels_the_work_and_gives_the_exit_code(number: int, code: int) -> None:
    ended: list[str] = []

    async def work() -> int:
        signal.raise_signal(number)
        try:
            await trio.sleep_forever()
        finally:
            ended.append("cancelled")

    assert await until_signal(work) == code
    assert ended == ["cancelled"]


@pytest.mark.usefixtures("hangup")
async def test_an_ignored_sighup_does_not_cancel_the_work() -> None:
    signal.signal(HANGUP, signal.SIG_IGN)

    async def work() -> int:
        signal.raise_signal(HANGUP)
        await trio.testing.wait_all_tasks_blocked()
        return 7

    assert await until_signal(work) == 7


async def test_bad_input_is_not_wrapped_in_a_group() -> None:
    async def work() -> int:
        raise BadInput("no")

    with pytest.raises(BadInput, match="no"):
        await until_signal(work)


STUCK = """
import signal, sys, time, trio
from okibi.cli.until_signal import until_signal

async def work():
    try:
        print("works", flush=True)
        await trio.sleep_forever()
    finally:
        print("ends", flush=True)
        time.sleep(600)  # as a write to a paused pager

trio.run(lambda: until_signal(work, second_signal_kills=True))
"""


@pytest.mark.slow
def test_a_second_signal_kills_a_blocked_process_where_asked_for() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"works\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"ends\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(HANG) == -signal.SIGINT
        finally:
            process.kill()
