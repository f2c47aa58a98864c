"""Parse the options of `okibi bench` and check them before minutes of measuring."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import attrs

from ..local import FunctionSettings
from ..project.arguments import (
    check_open_files,
    check_platform,
    parse_number,
)
from ..project.bad_input import BadInput
from ..project.event_argument import read_event
from ..project.local_settings import read_settings
from ..project.settings import check_handler
from .measured_runtime import OFFICIAL_CLIENT
from .prices import Prices, read_prices, read_rate

# The official client, the only supported peer.
PEER = OFFICIAL_CLIENT

MAX_CONCURRENCY, MAX_PEER_CONCURRENCY = 1024, 64
# Open files of a runtime's process besides its connections. The peer's parent process has two more
# for each of its child processes.
OTHER_FILES, PEER_FILES = 32, 2


@attrs.frozen
class BenchEffort:
    """The size of a benchmark.

    Args:
        rounds: starts and measurements of each process.
        seconds: measured time of the function in each round, after the warm-up.
        warm_events, warm_seconds: the warm-up ends at the first of these limits.
        crash_rounds: repetitions of each kind of crash.
        crash_limit: time-out in seconds of the events that crash.
    """

    rounds: int = 5
    seconds: float = 1.0
    warm_events: int = 500
    warm_seconds: float = 0.3
    crash_rounds: int = 3
    crash_limit: float = 0.5

    @property
    def stand_in_seconds(self) -> float:
        """Measured time of the stand-in handler. Half is enough: the handler is faster."""
        return self.seconds / 2


QUICK = BenchEffort(
    rounds=2, seconds=0.2, warm_events=100, warm_seconds=0.1, crash_rounds=1, crash_limit=0.3
)


@attrs.frozen
class BenchOptions:
    """The parsed options of `okibi bench`.

    Args:
        settings: the settings of the function.
        event: the event as JSON.
        effort: the size of the benchmark.
        concurrency: numbers of events at once, besides 1; ascending and unique.
        peer: the handler of the peer; None without a peer.
        allow_errors: whether to measure answers that are errors.
        rate: requests per month, for the cost estimate.
        memory_mb: memory of the function, for the cost estimate; None for the measured memory.
        prices: the price list.
        json, markdown: files to write the report to; None to skip.
        plots: folder to write the plots to; None to skip.
    """

    settings: FunctionSettings
    event: bytes
    effort: BenchEffort
    concurrency: Sequence[int]
    peer: str | None
    allow_errors: bool
    rate: float
    memory_mb: int | None
    prices: Prices
    json: Path | None
    markdown: Path | None
    plots: Path | None


def parse_options(
    handler: str,
    event: str | None,
    *,
    rounds: int | None = None,
    duration: float | None = None,
    quick: bool = False,
    timeout: float | None = None,
    concurrency: str = "1",
    peer: str | None = None,
    peer_handler: str | None = None,
    allow_errors: bool = False,
    rate: str = "1M/month",
    memory_size: int | None = None,
    prices: Path | None = None,
    json: Path | None = None,
    markdown: Path | None = None,
    plots: str | None = None,
) -> BenchOptions:
    """Parse the arguments of `okibi bench`; its `--help` explains each.

    Raises:
        BadInput: an argument is wrong.
    """
    check_platform()
    settings = read_settings(handler, timeout, memory_size)
    handler = settings.handler
    price_list = read_prices(prices)
    _check_file("--json", json)
    _check_file("--markdown", markdown)
    if json is not None and markdown is not None and json.resolve() == markdown.resolve():
        raise BadInput(f"--json {json}: --markdown has the same file; give different files")
    peer = _peer(peer, peer_handler, handler)
    modules = [file for each in filter(None, (handler, peer)) for file in _module_files(each)]
    _refuse_to_overwrite([event, prices, *modules], {"--json": json, "--markdown": markdown})
    return BenchOptions(
        settings=settings,
        effort=_effort(rounds, duration, quick=quick),
        concurrency=_concurrency(concurrency, peer),
        peer=peer,
        allow_errors=allow_errors,
        rate=read_rate(rate, price_list.hours_a_month),
        memory_mb=memory_size,
        prices=price_list,
        json=json,
        markdown=markdown,
        plots=_plots(plots),
        # Last: with `-` the user types the event, which a wrong option would waste.
        event=read_event(event),
    )


def _effort(rounds: int | None, duration: float | None, *, quick: bool) -> BenchEffort:
    effort = QUICK if quick else BenchEffort()
    return attrs.evolve(
        effort,
        rounds=effort.rounds if rounds is None else rounds,
        seconds=effort.seconds if duration is None else duration,
    )


def _concurrency(text: str, peer: str | None) -> tuple[int, ...]:
    numbers = [parse_number(part) for part in text.split(",")]
    if not all(number.is_integer() and 1 <= number <= MAX_CONCURRENCY for number in numbers):
        raise BadInput(
            f"--concurrency {text}: must be integers from 1 to {MAX_CONCURRENCY}, as in"
            " --concurrency 1,4,16"
        )
    if peer is not None and max(numbers) > MAX_PEER_CONCURRENCY:
        raise BadInput(
            f"--concurrency {text}: --peer needs a process for each event at once; give at most"
            f" {MAX_PEER_CONCURRENCY}"
        )
    files = int(max(numbers)) * (1 if peer is None else PEER_FILES) + OTHER_FILES
    check_open_files(files, f"--concurrency {text}", ", or give less --concurrency")
    # 1 is always measured.
    return tuple(sorted({int(number) for number in numbers} - {1}))


def _peer(name: str | None, peer_handler: str | None, handler: str) -> str | None:
    if name is None:
        if peer_handler is not None:
            raise BadInput(f"--peer-handler {peer_handler}: needs a peer; add --peer {PEER}")
        return None
    if name != PEER:
        raise BadInput(f"--peer {name}: unknown; write --peer {PEER}")
    if importlib.util.find_spec(PEER) is None:
        raise BadInput(f"--peer {PEER}: not installed; run: pip install {PEER}")
    return handler if peer_handler is None else check_handler(peer_handler, "--peer-handler")


def peer_version() -> str:
    """Return the version of the official client."""
    return metadata.version(PEER)


def _check_file(option: str, path: Path | None) -> None:
    """Check that a file can be written, before minutes of measuring."""
    if path is None:
        return
    if str(path) == "-":
        file = "report.json" if option == "--json" else "report.md"
        raise BadInput(
            f"{option} -: stdout has the report as text; give a file, as in {option} {file}"
        )
    existing = path if path.exists() else path.parent
    if path.is_dir() or not os.access(existing, os.W_OK) or not path.parent.is_dir():
        raise BadInput(f"{option} {path}: cannot be written; give a file in an existing folder")


def _refuse_to_overwrite(
    inputs: Sequence[str | Path | None], outputs: Mapping[str, Path | None]
) -> None:
    existing = [source for source in inputs if source is not None and os.path.exists(source)]
    for option, path in outputs.items():
        if path is not None and path.exists() and any(map(path.samefile, existing)):
            raise BadInput(
                f"{option} {path}: would overwrite an input of the benchmark; give another file"
            )


def _module_files(handler: str) -> tuple[str, str]:
    """The two possible files of the handler's module: a module or a package."""
    path = handler.rpartition(".")[0].replace(".", "/")
    return f"{path}.py", f"{path}/__init__.py"


def _plots(text: str | None) -> Path | None:
    if text is None:
        return None
    if importlib.util.find_spec("matplotlib") is None:
        raise BadInput("--plots: matplotlib is not installed; run: pip install 'okibi[bench]'")
    try:
        for module in ("matplotlib.figure", "matplotlib.ticker"):
            importlib.import_module(module)
    except Exception as error:
        # Any exception: with the wrong version of numpy it is a ValueError.
        raise BadInput(
            f"--plots: matplotlib cannot be imported ({error}); run: pip install --force-reinstall"
            " 'okibi[bench]'"
        ) from error
    path = Path(text).absolute()
    existing = next(each for each in (path, *path.parents) if each.exists())
    # An empty text, as of an unset shell variable, would mean the current folder.
    if not text or not existing.is_dir() or not os.access(existing, os.W_OK):
        raise BadInput(f"--plots {text}: not a writable folder; give a folder, as in --plots plots")
    return path
