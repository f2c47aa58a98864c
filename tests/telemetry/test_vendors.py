"""Vendors' handler and layer, set by variables alone: okibi traces what they name.

`python -m tests.telemetry.vendors` prints the whole table, with AWS's own client.
"""

from pathlib import Path

import pytest

from tests.support.servers import free_port
from tests.support.span_receiver import receiving
from tests.support.vendors import (
    CASES,
    KINDS,
    VENDORS,
    find_faults,
    find_mixed,
    find_waits,
    is_slow_without_receiver,
    serving,
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VENDORS)
async def test_a_span_is_right_for_each_outcome(name: str, kind: str, tmp_path: Path) -> None:
    # A `def` stays behind the vendor's handler, which does not know okibi's deadline.
    cases = ("success", "exception") if kind == "def" else CASES
    with receiving() as receiver:
        async with serving(VENDORS[name], kind, receiver, tmp_path) as served:
            faults = {case: await find_faults(served, kind, case) for case in cases}

    assert faults == {case: [] for case in cases}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "Function", "asyncio"])
@pytest.mark.parametrize("name", VENDORS)
async def test_sixteen_at_once_are_never_mixed(name: str, kind: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with serving(
            VENDORS[name], kind, receiver, tmp_path, timeout=60.0, max_concurrency=16
        ) as served:
            assert await find_mixed(served) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", VENDORS)
async def test_no_answer_waits_for_a_receiver(name: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with serving(VENDORS[name], "Function", receiver, tmp_path, timeout=60.0) as served:
            assert await find_waits(served) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", VENDORS)
async def test_no_answer_waits_for_an_absent_receiver(name: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.url = f"http://127.0.0.1:{free_port()}"
        async with serving(VENDORS[name], "Function", receiver, tmp_path, timeout=60.0) as served:
            assert not await is_slow_without_receiver(served)
