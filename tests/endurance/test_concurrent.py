"""A small run of `make concurrent`, on each available server."""

import os
from functools import partial
from pathlib import Path

import attrs
import pytest

from okibi.local.sandbox.processes import descendants
from tests.conformance.runtime_api.session import many_refused
from tests.endurance.concurrent import (
    CONTENDERS,
    OFFICIAL,
    OKIBI,
    Figures,
    Server,
    measure,
    report,
)
from tests.endurance.managed import on_emulator, on_local_server
from tests.support.emulator import NoEmulatorError, emulator


def official() -> Server:
    try:
        executable = emulator()
    except NoEmulatorError as missing:
        pytest.skip(str(missing))
    if why := many_refused():
        pytest.skip(why)
    return partial(on_emulator, executable)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["the local server", "AWS's emulator"])
def test_one_process_serves_four_slots_and_ends(name: str, tmp_path: Path) -> None:
    server = on_local_server if name == "the local server" else official()

    before = descendants(os.getpid())
    figures = measure(server, OKIBI, 60, 3, 4, tmp_path)

    assert len(figures.latencies) == 60
    assert figures.fault == ""
    assert figures.processes == 1
    assert figures.memory > 2**20
    assert figures.percentile(0.5) >= 20
    assert descendants(os.getpid()) == before


def test_a_wrong_or_missing_response_fails_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    right = Figures(asked=3, seconds=1.0, latencies=[0.02] * 3, cpu=0.001, memory=1, processes=1)
    figures = {each: [attrs.evolve(right)] for each in CONTENDERS}
    figures[OFFICIAL] = [attrs.evolve(right, memory=2)]
    assert report(figures)

    figures[OKIBI] = [attrs.evolve(right, latencies=[0.02] * 2, wrong=[b"{}"])]
    assert not report(figures)

    told = "of 3 invocations 1 were answered correctly, 1 wrongly, the first with b'{}', and 1 not"
    assert told in capsys.readouterr().out
