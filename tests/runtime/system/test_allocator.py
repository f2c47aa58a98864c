"""What the C library's allocator is told: counted in page faults, by a process of its own."""

import platform
import subprocess
import sys

import pytest

# 6 MB, four times at once, as in an event and its answer; a page has 4 KB or more.
FAULTS = """
import resource
from okibi.runtime.system.allocator import keep_what_is_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        held = [b"x" * 6_000_000 for _ in range(4)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{first}
faults()
print(faults())
"""

# Of its address space the process has all that it may have.
FULL = """
import resource
from okibi.runtime.system.allocator import keep_what_is_freed

resource.setrlimit(resource.RLIMIT_AS, (1, 1))
keep_what_is_freed()
"""


def faults(first: str) -> int:
    """How many pages ten rounds take from the kernel anew."""
    source = FAULTS.format(first=first)
    said = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    return int(said.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a rule of glibc's allocator")
def test_what_a_large_event_has_freed_the_next_one_takes_without_the_kernel() -> None:
    assert faults("") > 5000
    assert faults("keep_what_is_freed()") < 100


def test_where_there_is_no_room_for_that_nothing_fails() -> None:
    subprocess.run([sys.executable, "-c", FULL], check=True)
