"""Linux's timerfd, by the C library's functions."""

import errno
import os
import resource
import select
import sys

import pytest

from okibi.runtime.system.timerfd import timerfd
from tests.support.fdinfo import rings_every, rings_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timerfd")


@pytest.mark.parametrize("seconds", [0.75, 5.25])
def test_it_rings_once_in_as_many_seconds_as_it_is_set_to(seconds: float) -> None:
    create, settime = timerfd()
    timer = create()
    settime(timer, seconds)

    assert seconds - 0.5 < rings_in(timer) <= seconds
    assert rings_every(timer) == 0
    os.close(timer)


def test_it_can_be_read_once_it_has_rung_and_until_then_does_not_block() -> None:
    create, settime = timerfd()
    timer = create()
    assert not os.get_blocking(timer)
    settime(timer, 0.001)

    assert select.select([timer], [], [], 5) == ([timer], [], [])
    assert int.from_bytes(os.read(timer, 8), sys.byteorder) == 1
    os.close(timer)


def test_no_child_process_gets_it() -> None:
    create, _ = timerfd()
    timer = create()

    assert not os.get_inheritable(timer)
    os.close(timer)


def test_what_the_kernel_refuses_is_an_oserror_in_its_words() -> None:
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


def test_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(AttributeError, match="only Linux has timerfd"):
        timerfd()
