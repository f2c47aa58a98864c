"""Each contender serves the same echo: a few events through the benchmark's own server."""

import json

import pytest

from benchmarks.contenders import (
    ASYNC,
    FLOOR,
    H11,
    HTTPX,
    OFFICIAL,
    PLAIN,
    TYPED,
    Absent,
    Contender,
    floor_in_c,
    installed,
    run,
)

SMALL, LARGE = '{"message": "hello"}', json.dumps({"body": "x" * 3000})


def serves(contender: Contender) -> None:
    for payload in (SMALL, LARGE):
        measured = run(contender, payload, 10, 3)
        assert set(measured) == {"cycle_us", "answer_us", "cpu_us", "server_us"}
        assert 0 < measured["answer_us"] < measured["cycle_us"]


@pytest.mark.parametrize(
    "contender", [ASYNC, PLAIN, TYPED, FLOOR, H11, HTTPX], ids=lambda c: c.name
)
def test_it_echoes(contender: Contender) -> None:
    serves(contender)


def test_the_official_client_echoes() -> None:
    try:
        installed("awslambdaric", "make bench installs it")
    except Absent as why:
        pytest.skip(str(why))
    serves(OFFICIAL)


def test_the_floor_in_c_echoes() -> None:
    try:
        contender = floor_in_c()
    except Absent as why:
        pytest.skip(str(why))
    serves(contender)


def test_one_that_does_not_run_says_why() -> None:
    with pytest.raises(Absent, match="nobody did not run: "):
        run(Contender("nobody", ("false",)), SMALL, 10, 3)
