"""What is true of each floor for who explores it in a shell."""

import subprocess
import sys

SCRIPT = """
import okibi
from okibi import actors, runtime, supervisors
for floor in (okibi, actors, runtime, supervisors):
    print({*floor.__all__} - {*dir(floor)})
"""


def test_a_shell_completes_all_names_also_before_their_rooms_are_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "set()\n" * 4
