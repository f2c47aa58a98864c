"""The allocator keeps large freed blocks: page faults counted in a separate process."""

import platform
import subprocess
import sys

import pytest

# Four blocks of 6 MB, as for an event and its response; a page has 4 KB or more.
FAULTS = """
import resource
from okibi.runtime.system.allocator import retain_freed_memory

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

# The process has used up its address space.
FULL = """
import resource
from okibi.runtime.system.allocator import retain_freed_memory

resource.setrlimit(resource.RLIMIT_AS, (1, 1))
retain_freed_memory()
"""


def faults(first: str) -> int:
    """Count the page faults of ten rounds."""
    source = FAULTS.format(first=first)
    said = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    return int(said.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a rule of glibc's allocator")
def test_large_freed_blocks_are_reused_without_page_faults() -> None:
    assert faults("") > 5000
    assert faults("retain_freed_memory()") < 100


def test_a_lack_of_memory_is_ignored() -> None:
    subprocess.run([sys.executable, "-c", FULL], check=True)
