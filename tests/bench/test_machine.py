"""The description of the machine."""

import os
import platform
import subprocess
import sys

import pytest

from okibi.bench.machine import this_machine


def test_the_description_names_python_system_and_processor() -> None:
    machine = this_machine()

    assert platform.python_version() in machine.python
    assert platform.release() in machine.system
    assert machine.processor


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to choose a core here")
def test_a_core_outside_the_affinity_does_not_count() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from okibi.bench.machine import this_machine; print(this_machine().cores)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout == "1\n", done.stderr
