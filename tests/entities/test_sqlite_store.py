"""The store in a file: the operations, and several processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from okibi.entities.calls import Caller, Handled, Message
from okibi.entities.operations import Post
from okibi.entities.rows import Mail, Row
from okibi.entities.sqlite_store import SQLiteStore
from tests.entities.simulation import set_aside
from tests.entities.test_operations import compare_with_rows
from tests.limits import HANG

# Counts up one entity, and prints what it was told.
COUNTER = """
import sys, trio
from tests.entities.test_sqlite_store import count

trio.run(count, sys.argv[1], sys.argv[2], 25)
"""


async def count(path: str, name: str, times: int) -> None:
    async def handle(key: str, state: str, mail: Mail) -> Handled:
        number = str(int(state or 0) + 1)
        return Handled(number, number)

    runs = iter(range(10**6))
    store = SQLiteStore(path)
    caller = Caller(store, handle, set_aside, lambda: f"{name}.{next(runs)}")
    for number in range(1, times + 1):
        message = Message(name, number, "count", store.now() + 60_000)
        print((await caller.call("counter", message)).body)
    store.close()


@pytest.mark.parametrize("seed", range(2))
async def test_it_does_what_the_operations_do(tmp_path: Path, seed: int) -> None:
    store = SQLiteStore(tmp_path / "entities.db")
    await compare_with_rows(store, seed, 150)
    store.close()


async def test_a_row_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "entities.db"
    first, mail = SQLiteStore(path), Mail("a", 1, '{"x": "é"}', 9)
    await first.apply(Post("k", mail, "run", 5))
    first.close()
    second = SQLiteStore(path)
    row = await second.read("k", consistent=True)
    assert row == Row(owner="run", lease=5, mail=(mail,), posted={"a": 1})
    second.close()


async def test_it_makes_its_folder_which_git_ignores(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / ".okibi" / "entities.sqlite")
    assert await store.read("k", consistent=True) is None
    store.close()
    assert (tmp_path / ".okibi" / ".gitignore").read_text() == "*\n"


def test_processes_count_together(tmp_path: Path) -> None:
    path = str(tmp_path / "entities.db")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTER, path, f"p{number}"], stdout=subprocess.PIPE, text=True
        )
        for number in range(4)
    ]
    printed = [process.communicate(timeout=HANG)[0].split() for process in processes]
    told = sorted(int(each) for lines in printed for each in lines)
    assert told == [*range(1, 101)]
    for lines in printed:
        assert [int(each) for each in lines] == sorted(map(int, lines))
