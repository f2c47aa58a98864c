"""What is to be measured, out of what was given on the command line."""

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypedDict

import attrs

from ...local import FunctionSettings
from ..arguments import (
    BadInput,
    event_of,
    handler_of,
    number_of,
    see_that_files_can_be_opened,
    see_that_functions_are_served_here,
    settings_of,
)
from .prices import Prices, read_prices, read_rate

__all__ = ["PEER", "BenchOrder", "Given", "Size", "read_order"]

PEER = "awslambdaric"
"""The official client; the one peer that is known."""

MOST_AT_ONCE, MOST_OF_THE_PEER = 1024, 64
# That a process of so many connections has open beside them; the peer's first process has two open
# for each of the others.
OTHER_FILES, FILES_OF_THE_PEER = 32, 2
# Of each all cycles are kept until the end.
MOST_ROUNDS = 1000


@attrs.frozen
class Size:
    """How much is measured.

    Args:
        rounds: how many times each process is started and measured.
        seconds: what is measured of the function in each, after the warm-up.
        warm_events, warm_seconds: what ends the warm-up, whichever is first.
        crash_rounds: how many times each kind of crash is provoked.
        crash_limit: seconds that an event has there.
    """

    rounds: int = 5
    seconds: float = 1.0
    warm_events: int = 500
    warm_seconds: float = 0.3
    crash_rounds: int = 3
    crash_limit: float = 0.5

    @property
    def stand_in_seconds(self) -> float:
        """What is measured of the handler that stands in: it answers sooner, so half will do."""
        return self.seconds / 2


QUICK = Size(rounds=2, seconds=0.2, warm_events=100, warm_seconds=0.1, crash_rounds=1,
             crash_limit=0.3)  # fmt: skip


@attrs.frozen
class BenchOrder:
    """What is to be measured.

    Args:
        settings: of the function.
        event: its bytes, which are JSON.
        size: how much is measured.
        concurrency: how many events at once, beside one: in ascending order, none twice.
        peer: the peer's handler, or None for no peer.
        allow_errors: whether answers that are errors are to be measured.
        rate: requests a month, to be paid for.
        memory_mb: of the function, or None for what it is measured to take.
        prices: what is asked for.
        json, markdown: files to write, or None.
        plots: a folder to write to, or None.
    """

    settings: FunctionSettings
    event: bytes
    size: Size
    concurrency: Sequence[int]
    peer: str | None
    allow_errors: bool
    rate: float
    memory_mb: int | None
    prices: Prices
    json: Path | None
    markdown: Path | None
    plots: Path | None


class Given(TypedDict, total=False):
    """The options as they are written; see `okibi bench --help`."""

    rounds: str | None
    duration: str | None
    quick: bool
    timeout: str
    concurrency: str
    peer: str | None
    peer_handler: str | None
    allow_errors: bool
    rate: str
    memory_size: str | None
    prices: str | None
    json: str | None
    markdown: str | None
    plots: str | None


def read_order(handler: str, event: str | None, given: Given) -> BenchOrder:
    """The order that the arguments of `okibi bench` give.

    Raises:
        BadInput: one of them is wrong.
    """
    see_that_functions_are_served_here()
    memory = _memory(given.get("memory_size"))
    settings = settings_of(handler, given.get("timeout", "3"), memory or 128)
    prices = read_prices(_path(given.get("prices")))
    json, markdown = _file("--json", given.get("json")), _file("--markdown", given.get("markdown"))
    if json is not None and markdown is not None and json.resolve() == markdown.resolve():
        raise BadInput(f"--json {json}: is the file of --markdown too; give another")
    peer = _peer(given.get("peer"), given.get("peer_handler"), handler)
    modules = [file for each in filter(None, (handler, peer)) for file in _module_files(each)]
    read = [event, given.get("prices"), *modules]
    _spare(read, {"--json": json, "--markdown": markdown})
    return BenchOrder(
        settings=settings,
        size=_size(given),
        concurrency=_concurrency(given.get("concurrency", "1"), peer),
        peer=peer,
        allow_errors=given.get("allow_errors", False),
        rate=read_rate(given.get("rate", "1M/month"), prices.hours_a_month),
        memory_mb=memory,
        prices=prices,
        json=json,
        markdown=markdown,
        plots=_plots(given.get("plots")),
        # Last: whoever types it would do so in vain for a wrong option.
        event=event_of(event),
    )


def _size(given: Given) -> Size:
    size = QUICK if given.get("quick") else Size()
    if (text := given.get("rounds")) is not None:
        rounds = number_of(text)
        if not rounds.is_integer() or not 1 <= rounds <= MOST_ROUNDS:
            raise BadInput(f"--rounds {text}: give a whole number from 1 to {MOST_ROUNDS}")
        size = attrs.evolve(size, rounds=int(rounds))
    if (text := given.get("duration")) is not None:
        seconds = number_of(text)
        if not 0 < seconds < math.inf:
            raise BadInput(f"--duration {text}: give seconds, more than 0")
        size = attrs.evolve(size, seconds=seconds)
    return size


def _concurrency(text: str, peer: str | None) -> tuple[int, ...]:
    numbers = [number_of(part) for part in text.split(",")]
    if not all(number.is_integer() and 1 <= number <= MOST_AT_ONCE for number in numbers):
        raise BadInput(
            f"--concurrency {text}: give whole numbers from 1 to {MOST_AT_ONCE}, as 1,4,16,64"
        )
    if peer is not None and max(numbers) > MOST_OF_THE_PEER:
        raise BadInput(
            f"--concurrency {text}: the peer starts a process for each event at once; give it"
            f" {MOST_OF_THE_PEER} at most"
        )
    files = int(max(numbers)) * (1 if peer is None else FILES_OF_THE_PEER) + OTHER_FILES
    see_that_files_can_be_opened(files, f"--concurrency {text}", "allow more, or give less")
    # One event at a time is measured in any case.
    return tuple(sorted({int(number) for number in numbers} - {1}))


def _memory(text: str | None) -> int | None:
    if text is None:
        return None
    number = number_of(text)
    if not number.is_integer() or not 128 <= number <= 10_240:
        raise BadInput(f"--memory-size {text}: give MB, from 128 to 10240")
    return int(number)


def _peer(name: str | None, peer_handler: str | None, handler: str) -> str | None:
    if name is None:
        if peer_handler is not None:
            raise BadInput(f"--peer-handler {peer_handler}: is for a peer; give --peer {PEER} too")
        return None
    if name != PEER:
        raise BadInput(f"--peer {name}: is not known; the one peer is {PEER}")
    if importlib.util.find_spec(PEER) is None:
        raise BadInput(f"--peer {PEER}: is not installed; pip install {PEER}")
    return handler if peer_handler is None else handler_of(peer_handler, "--peer-handler")


def peer_version() -> str:
    """The official client's."""
    return metadata.version(PEER)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _file(option: str, text: str | None) -> Path | None:
    """A file that can be written, seen before minutes are spent on what is to be in it."""
    if text is None:
        return None
    path = Path(text)
    if text == "-":
        raise BadInput(f"{option} -: give a file; the table goes to standard output")
    there = path if path.exists() else path.parent
    if path.is_dir() or not os.access(there, os.W_OK) or not path.parent.is_dir():
        raise BadInput(f"{option} {text}: cannot be written; give a file in a folder that is there")
    return path


def _spare(read: Sequence[str | None], written: Mapping[str, Path | None]) -> None:
    sources = [source for source in read if source is not None and os.path.exists(source)]
    for option, path in written.items():
        if path is not None and path.exists() and any(map(path.samefile, sources)):
            raise BadInput(f"{option} {path}: is read first, and would be lost; give another")


def _module_files(handler: str) -> tuple[str, str]:
    """Where its module lies, of which there is one: a file, or a package's."""
    path = handler.rpartition(".")[0].replace(".", "/")
    return f"{path}.py", f"{path}/__init__.py"


def _plots(text: str | None) -> Path | None:
    if text is None:
        return None
    if importlib.util.find_spec("matplotlib") is None:
        raise BadInput(
            "--plots needs matplotlib, which is not installed; pip install 'okibi[bench]'"
        )
    try:
        for module in ("matplotlib.figure", "matplotlib.ticker"):
            importlib.import_module(module)
    except Exception as error:
        # Seen before minutes are spent on what is to be drawn; of another numpy than it was built
        # for it is a ValueError.
        raise BadInput(
            f"--plots needs matplotlib, which cannot be imported: {error}; install it anew"
        ) from error
    path = Path(text).absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    # Of a variable that is not set, `""` would be the current folder.
    if not text or not there.is_dir() or not os.access(there, os.W_OK):
        raise BadInput(f"--plots {text}: is no folder to write to; give one that can be made")
    return path
