"""faulthandler's timer is the watchdog's until the user's code sets it."""

import faulthandler
from typing import Any

import pytest

from runtime.dump_timer import DumpTimer
from tests.runtime.sandbox import running

Shared = tuple[DumpTimer, list[Any]]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Shared:
    """One that shares, and what has become of the only timer there is: seconds, or "back"."""
    done = list[Any]()
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda s, *_, **__: done.append(s))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: done.append("back"))
    timer = DumpTimer()
    timer.share()
    return timer, done


def test_it_is_the_user_s_once_he_sets_it_until_he_takes_it_back(shared: Shared) -> None:
    timer, done = shared
    faulthandler.dump_traceback_later(60)
    timer.tick(5)
    timer.take_back()
    assert done == [60]

    faulthandler.cancel_dump_traceback_later()
    timer.tick(5)
    timer.take_back()
    assert done == [60, "back", 5, "back"]


def test_it_is_the_watchdog_s_again_when_the_user_s_has_gone_off(shared: Shared) -> None:
    timer, done = shared
    faulthandler.dump_traceback_later(0)
    timer.tick(5)
    faulthandler.dump_traceback_later(0, True)
    timer.tick(6)

    assert done == [0, 5, 0]


def test_a_fork_finds_it_at_rest_and_what_is_left_of_the_user_s_goes_on_behind_it(
    shared: Shared,
) -> None:
    timer, done = shared
    timer.tick(5)
    timer.pause()
    timer.go_on()
    assert done == [5, "back"]

    faulthandler.dump_traceback_later(60, True)
    timer.pause()
    timer.go_on()
    assert done[2:] == [60, "back", 60]

    faulthandler.dump_traceback_later(60)
    timer.pause()
    timer.go_on()
    assert 59 < done[-1] <= 60


async def test_where_a_handler_stands_is_told_when_it_has_asked_for_that() -> None:
    async with running("timed.handler", timeout=1.5) as sandbox:
        for _ in range(2):
            assert "timed.py" in await sandbox.ask()
