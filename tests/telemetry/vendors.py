"""`python -m tests.telemetry.vendors`: what arrives of each vendor, kind of handler and outcome.

A table: okibi, and below it AWS's own client with a `def`. A cell says what is wrong with the span
of an event: its duration (5 %), its error, its place in the trace; also with Sentry's errors and
with logs and metrics of Powertools. Ten minutes. An argument is the name of a vendor.
"""

import sys
import tempfile
from pathlib import Path

import trio

from tests.support.servers import free_port
from tests.support.vendors import (
    CASES,
    KINDS,
    VENDORS,
    Vendor,
    find_faults,
    find_mixed,
    find_waits,
    is_slow_without_receiver,
    serving,
)


async def judge(vendor: Vendor, kind: str, *, official: bool) -> list[str]:
    """Return a row of the table."""
    cells = list[str]()
    receiving = vendor.receiving
    with receiving() as receiver, tempfile.TemporaryDirectory() as folder:
        async with serving(vendor, kind, receiver, Path(folder), official=official) as served:
            for case in CASES:
                cells.append("; ".join(await find_faults(served, kind, case)) or "right")
    with receiving() as receiver, tempfile.TemporaryDirectory() as folder:
        async with serving(
            vendor, kind, receiver, Path(folder), official=official, max_concurrency=16,
            timeout=20.0,
        ) as served:  # fmt: skip
            faults = await find_mixed(served)
    wrong = "; ".join(sorted({*faults}))
    cells.append(f"{len(faults)} of 64 wrong: {wrong[:80]}" if faults else "right")
    if vendor.name == "Powertools":
        cells.append("UDP, standard output")
    else:
        with receiving() as receiver, tempfile.TemporaryDirectory() as folder:
            async with serving(
                vendor, kind, receiver, Path(folder), official=official, timeout=60.0
            ) as served:
                cells.append("; ".join(await find_waits(served)) or "no answer waits")
    with receiving() as receiver, tempfile.TemporaryDirectory() as folder:
        receiver.url = f"http://127.0.0.1:{free_port()}/v1/traces"
        async with serving(
            vendor, kind, receiver, Path(folder), official=official, timeout=60.0
        ) as served:
            slow = await is_slow_without_receiver(served)
            cells.append("the answer waits" if slow else "no answer waits")
    return cells


async def main(names: list[str]) -> None:
    print(
        "| client | vendor | handler |",
        " | ".join(CASES),
        "| 16 at once | receiver slow, refusing | no receiver |",
    )
    print("| --- " * (len(CASES) + 6) + "|")
    for official in (False, True):
        for vendor in VENDORS.values():
            for kind in ["def"] if official else KINDS:
                if names and vendor.name not in names:
                    continue
                client = "awslambdaric" if official else "okibi"
                cells = await judge(vendor, kind, official=official)
                print("|", " | ".join([client, vendor.name, kind, *cells]), "|", flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
