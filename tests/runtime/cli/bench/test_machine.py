"""The machine, in words."""

import platform

from runtime.cli.bench.machine import Machine, this_machine


def test_this_machine_tells_what_it_is() -> None:
    machine = this_machine()

    assert platform.python_version() in machine.python
    assert platform.release() in machine.system
    assert machine.processor
    assert machine.cores >= 1


def test_in_words_it_is_a_line() -> None:
    assert Machine("P", "S", "C", 1, None).in_words() == "P, S, C, 1 core"
    assert Machine("P", "S", "C", 2, 1.24).in_words() == "P, S, C, 2 cores; load 1.2 before"
