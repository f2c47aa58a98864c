"""How deep C code goes into a result once a function has raised the recursion limit."""

import subprocess
import sys
import threading

import pytest

from okibi.runtime.codec import recursion_guard
from okibi.runtime.codec.recursion_guard import DEEPEST, STACK, bounded, give_threads_stack

# Of a process of its own: what goes to the end of the stack ends it.
CIRCULAR = """
import sys
import threading
import msgspec
from okibi.runtime.codec.json import MarshalError
from okibi.runtime.codec.json import escaped_outcome_of, outcome_of, unescaped_outcome_of

class Struct(msgspec.Struct):
    held: object = None

def circle(size):
    held = {"text": "x" * size}
    held["held"] = [held]
    return held

struct = Struct()
struct.held = {"held": struct}
deep = []
for _ in range(20_000):
    deep = [deep]
sys.setrecursionlimit(10**6)
for say in (escaped_outcome_of, unescaped_outcome_of, outcome_of):
    for result in (circle(1), [circle(1)], circle(3000), [circle(3000)], struct, [struct]):
        try:
            say(result)
        except MarshalError:
            print("refused")
    print(len(say(deep).body), sys.getrecursionlimit())
"""


def test_what_holds_itself_is_refused_and_not_followed_to_the_end_of_the_stack() -> None:
    done = subprocess.run([sys.executable, "-c", CIRCULAR], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*["refused"] * 6, "40002", "1000000"] * 3


def test_the_limit_is_a_lower_one_meanwhile_only() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * DEEPEST)
    try:
        assert bounded(lambda _: sys.getrecursionlimit(), None) == DEEPEST
        with pytest.raises(ZeroDivisionError):
            bounded(lambda value: 1 // value, 0)
        assert sys.getrecursionlimit() == 10 * DEEPEST
    finally:
        sys.setrecursionlimit(before)


def test_a_limit_that_is_lower_stays() -> None:
    assert sys.getrecursionlimit() < DEEPEST
    assert bounded(lambda _: sys.getrecursionlimit(), None) == sys.getrecursionlimit()


# As musl has it, and with as little stack as a thread has there.
IN_A_THREAD = """
import errno, json, os, resource, sys
resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
os.execv(sys.executable, [sys.executable, "-c", '''
import errno, json, os, sys, threading
def refused(_):
    raise OSError(errno.EINVAL, "Invalid argument")
os.confstr = refused
from okibi.runtime.bootstrap import main
main([])
sys.setrecursionlimit(10_000)
def act():
    try:
        json.loads("[" * 100_000)
    except RecursionError:
        print("refused")
thread = threading.Thread(target=act)
thread.start()
thread.join()
'''])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has enough")
def test_what_is_nested_deeply_is_refused_in_a_thread_too_where_the_c_library_gives_it_little() -> (
    None
):
    done = subprocess.run([sys.executable, "-c", IN_A_THREAD], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has enough")
@pytest.mark.parametrize(
    ("glibc", "before", "after"), [(False, 0, STACK), (False, 1 << 20, 1 << 20), (True, 0, 0)]
)
def test_a_thread_has_more_stack_unless_somebody_has_chosen_or_the_c_library_gives_enough(
    glibc: bool, before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recursion_guard, "is_glibc", lambda: glibc)
    own = threading.stack_size(before)
    try:
        give_threads_stack()
    finally:
        found = threading.stack_size(own)
    assert found == after
