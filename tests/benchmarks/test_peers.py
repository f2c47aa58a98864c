"""The table of actors beside their peers: where each of them runs."""

import os
import sys

import pytest

from benchmarks.peers.table import PEERS, Peer, Run, better, run

TELLS_ITS_CORES = """
import json, os
print(json.dumps({"call": len(os.sched_getaffinity(0)), "versions": ""}))
"""


def test_each_column_is_of_where_its_median_is_less() -> None:
    free = [Run({"call": call, "start": start}, "x 1") for call, start in ((5, 9), (1, 9), (1, 1))]
    pinned = [Run({"call": 2, "start": start}, "x 1") for start in (3, 3, 8)]

    found = better(free, pinned)

    assert [one.figures for one in found] == [
        {"call": 5, "start": 3},
        {"call": 1, "start": 3},
        {"call": 1, "start": 8},
    ]
    assert {one.pinned for one in found} == {("start",)}


@pytest.mark.parametrize("pinned", [False, True])
def test_one_that_is_pinned_has_one_core_and_this_process_has_its_cores_again(
    pinned: bool,
) -> None:
    cores = os.sched_getaffinity(0)

    told = run(Peer("cores", (sys.executable, "-c", TELLS_ITS_CORES)), (), pinned=pinned)

    assert told.figures["call"] == (1 if pinned else len(cores))
    assert os.sched_getaffinity(0) == cores


def test_erlang_s_schedulers_have_all_cores() -> None:
    assert {peer.name for peer in PEERS if not peer.in_python} == {"gen_server", "supervisor"}
