"""What is true of each floor for who explores it in a shell."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("floor", ["actors", "supervisors", "runtime"])
def test_a_shell_completes_all_names_also_before_their_rooms_are_imported(floor: str) -> None:
    script = f"import {floor} as floor; print({{*floor.__all__}} - {{*dir(floor)}})"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "set()\n"
