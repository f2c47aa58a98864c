"""Linux's timerfd, by Python's own functions and by the C library's."""

import errno
import os
import resource
import select
import sys
from collections.abc import Callable

import pytest

from okibi.runtime.system.timerfd import Timerfd, by_ctypes, by_os, timerfd
from tests.support.fdinfo import rings_every, rings_in, said_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timerfd")

NEWEST = pytest.mark.skipif(sys.version_info < (3, 13), reason="os has none before Python 3.13")
each_way = pytest.mark.parametrize("way", [pytest.param(by_os, marks=NEWEST), by_ctypes])
Way = Callable[[], Timerfd]


@each_way
@pytest.mark.parametrize("seconds", [0.75, 5.25])
def test_it_rings_once_in_as_many_seconds_as_it_is_set_to(way: Way, seconds: float) -> None:
    create, settime = way()
    timer = create()
    settime(timer, seconds)

    assert seconds - 0.5 < rings_in(timer) <= seconds
    assert rings_every(timer) == 0
    os.close(timer)


@each_way
def test_it_can_be_read_once_it_has_rung_and_until_then_does_not_block(way: Way) -> None:
    create, settime = way()
    timer = create()
    assert not os.get_blocking(timer)
    settime(timer, 0.001)

    assert select.select([timer], [], [], 5) == ([timer], [], [])
    assert int.from_bytes(os.read(timer, 8), sys.byteorder) == 1
    os.close(timer)


@each_way
def test_no_child_process_gets_it(way: Way) -> None:
    create, _ = way()
    timer = create()

    assert not os.get_inheritable(timer)
    os.close(timer)


@each_way
def test_what_the_kernel_refuses_is_an_oserror_in_its_words(way: Way) -> None:
    create, settime = way()
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


@NEWEST
def test_both_ways_make_the_same_timer() -> None:
    (create, _), (create_too, _) = by_os(), by_ctypes()
    timer, twin = create(), create_too()
    own, other = said_of(timer), said_of(twin)

    assert own["clockid"] == "1"
    # No two descriptors have the same inode of the kernel's.
    assert {**own, "ino": ""} == {**other, "ino": ""}
    os.close(timer)
    os.close(twin)


def test_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(AttributeError, match="only Linux has timerfd"):
        timerfd()
