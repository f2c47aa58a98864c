"""Linux's timerfd, by the compiled module or by `os`."""

import errno
import os
import resource
import select
import sys

import pytest

from okibi.runtime.system.timerfd import timerfd
from tests.support.fdinfo import rings_every, rings_in

PYTHON_HAS_IT, NO = hasattr(os, "timerfd_create"), "Python 3.13 has it"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timerfd")


@pytest.fixture(
    autouse=True,
    params=["compiled", pytest.param("os", marks=pytest.mark.skipif(not PYTHON_HAS_IT, reason=NO))],
)
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled module and without."""
    if request.param == "os":
        monkeypatch.setitem(sys.modules, "okibi.runtime.system.native", None)


@pytest.mark.parametrize("seconds", [0.75, 5.25])
def test_a_timerfd_expires_once_after_its_seconds(seconds: float) -> None:
    create, settime = timerfd()
    timer = create()
    settime(timer, seconds)

    assert seconds - 0.5 < rings_in(timer) <= seconds
    assert rings_every(timer) == 0
    os.close(timer)


def test_a_timerfd_is_readable_after_expiring_and_never_blocks() -> None:
    create, settime = timerfd()
    timer = create()
    assert not os.get_blocking(timer)
    settime(timer, 0.001)

    assert select.select([timer], [], [], 5) == ([timer], [], [])
    assert int.from_bytes(os.read(timer, 8), sys.byteorder) == 1
    os.close(timer)


def test_executed_programs_do_not_inherit_a_timerfd() -> None:
    create, _ = timerfd()
    timer = create()

    assert not os.get_inheritable(timer)
    os.close(timer)


def test_a_refused_timerfd_raises_an_oserror() -> None:
    create, settime = timerfd()
    timer = create()
    os.close(timer)

    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        settime(timer, 0.001)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (timer, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            create()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_other_systems_have_no_timerfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(AttributeError, match="only Linux has timerfd"):
        timerfd()
