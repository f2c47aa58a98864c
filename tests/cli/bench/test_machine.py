"""The machine, in words."""

import os
import platform
import subprocess
import sys

import pytest

from okibi.cli.bench.machine import this_machine


def test_this_machine_tells_what_it_is() -> None:
    machine = this_machine()

    assert platform.python_version() in machine.python
    assert platform.release() in machine.system
    assert machine.processor


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to choose a core here")
def test_a_core_that_the_process_may_not_use_is_none() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from okibi.cli.bench.machine import this_machine; print(this_machine().cores)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout == "1\n", done.stderr
