"""How deep C code goes into a result once a function has raised the recursion limit."""

import subprocess
import sys

import pytest

from runtime.depth import DEEPEST, bounded

# Of a process of its own: what goes to the end of the stack ends it.
CIRCULAR = """
import sys
import msgspec
from runtime.marshal import MarshalError, escaped_outcome_of, outcome_of, unescaped_outcome_of

class Struct(msgspec.Struct):
    held: object = None

held = {}
held["text"], held["held"] = "x" * TEXT, [held]
struct = Struct()
struct.held = {"held": struct}
deep = []
for _ in range(20_000):
    deep = [deep]
sys.setrecursionlimit(10**6)
for say in (escaped_outcome_of, unescaped_outcome_of, outcome_of):
    for result in (held, [held], struct, [struct]):
        try:
            say(result)
        except MarshalError:
            print("refused")
    print(len(say(deep).body), sys.getrecursionlimit())
"""


@pytest.mark.parametrize("size", [1, 3000])
def test_what_holds_itself_is_refused_and_not_followed_to_the_end_of_the_stack(size: int) -> None:
    source = CIRCULAR.replace("TEXT", str(size))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*["refused"] * 4, "40002", "1000000"] * 3


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
