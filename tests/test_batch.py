"""The names of `okibi.batch`, and what a function without batches imports."""

import subprocess
import sys

import okibi.batch

ALONE = """
import sys
import okibi.runtime.tree
from okibi import Function, Handler, Server
print([name for name in sys.modules if "batch" in name or name.endswith(".state_machine")])
"""


def test_each_name_of_okibi_batch_is_there() -> None:
    names: dict[str, object] = {}
    exec("from okibi.batch import *", names)

    assert {*okibi.batch.__all__} <= {*names}


def test_a_function_without_batches_imports_none() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"
