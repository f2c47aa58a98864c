"""Each contender serves the same echo through the benchmark's server."""

import json
import os
import stat
from pathlib import Path

import attrs
import pytest

from benchmarks.contenders import (
    ASYNC,
    BARE_TASKS,
    FLOOR,
    FLOOR_JSON,
    H11,
    HTTPX,
    OFFICIAL,
    PLAIN,
    STATEFUL,
    STREAMED,
    TYPED,
    Absent,
    Contender,
    check_installed,
    floor_in_c,
    run,
    running,
)

SMALL, LARGE = '{"message": "hello"}', json.dumps({"body": "x" * 3000})
# More than one read of a socket returns.
HUGE = json.dumps({"body": "x" * 1_500_000})


def check_serves(contender: Contender) -> None:
    for payload in (SMALL, LARGE) if contender is BARE_TASKS else (SMALL, LARGE, HUGE):
        measured = run(contender, payload, 10, 3)
        assert 0 < measured["answer_us"] < measured["cycle_us"]
        assert (measured["first_us"] > 0) is (contender is STREAMED)
        assert measured["first_us"] <= measured["answer_us"]
        assert 0 < measured["server_us"] < measured["mean_us"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "contender",
    [ASYNC, PLAIN, TYPED, STATEFUL, STREAMED, FLOOR, FLOOR_JSON, BARE_TASKS, H11, HTTPX],
    ids=lambda c: c.name,
)
def test_each_contender_echoes(contender: Contender) -> None:
    check_serves(contender)


@pytest.mark.slow
def test_the_official_client_echoes() -> None:
    try:
        check_installed("awslambdaric", "make bench installs it")
    except Absent as why:
        pytest.skip(str(why))
    check_serves(OFFICIAL)


@pytest.mark.slow
def test_the_floor_in_c_is_built_in_a_new_private_folder() -> None:
    try:
        made = [floor_in_c() for _ in range(2)]
    except Absent as why:
        pytest.skip(str(why))
    check_serves(made[0])

    folders = [Path(each.command[0]).parent for each in made]
    # An existing folder could hold another user's program.
    assert folders[0] != folders[1]
    for folder in folders:
        about = folder.lstat()
        assert (about.st_uid, stat.S_IMODE(about.st_mode)) == (os.getuid(), 0o700)


@pytest.mark.slow
def test_two_contenders_take_turns_lap_by_lap() -> None:
    with running(ASYNC, SMALL) as one, running(FLOOR, SMALL) as other:
        laps = [each.lap(5, 1) for each in (one, other, one, other)]

    assert all(0 < lap["answer_us"] < lap["cycle_us"] for lap in laps)


@pytest.mark.slow
def test_a_wrong_response_fails_the_run() -> None:
    with pytest.raises(Absent, match="the echo came back as b'false'"):
        run(attrs.evolve(PLAIN, handler="operator.eq"), SMALL, 10, 3)
