"""The table and pictures of docs/performance.md, made from the newest results.

    python -m benchmarks.reporting.performance_table

`make bench-full` ends with this.
"""

from pathlib import Path

from .plots import draw
from .results import KeptResults, KeptRow, newest, read
from .rows import figure

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- written by make bench-full -->", "<!-- until here -->"
ROWS = (
    ("a warm cycle, 20 B, `async def`", "overhead, 20 B", "async def / awslambdaric"),
    ("the same, plain `def`", "overhead, 20 B", "plain def / awslambdaric"),
    ("2.6 KB, `async def`", "overhead, 2.6 KB", "async def / awslambdaric"),
    ("2.6 KB, plain `def`", "overhead, 2.6 KB", "plain def / awslambdaric"),
    ("100 KB, plain `def`", "overhead, 100 KB", "plain def / awslambdaric"),
    ("6 MB, plain `def`", "overhead, 6 MB", "plain def / awslambdaric"),
    ("event to answer, 20 B, plain `def`", "overhead, 20 B",
     "event to answer, plain / awslambdaric"),
    ("CPU an invocation, 20 B, plain `def`", "overhead, 20 B", "CPU, plain def / awslambdaric"),
    ("plain `def`, against a bare socket", "overhead, 20 B", "plain def / floor"),
    ("`async def`, against it", "overhead, 20 B", "async def / floor"),
    ("2.6 KB, `async def`, against it", "overhead, 2.6 KB", "async def / floor"),
    ("2.6 KB, plain `def`, against it", "overhead, 2.6 KB", "plain def / floor"),
    ("okibi's JSON on that socket, and nothing else, against it", "overhead, 2.6 KB",
     "a bare socket and JSON / floor"),
    ("20 B, four bare trio tasks, against it", "overhead, 20 B", "four bare trio tasks / floor"),
    ("`async def` without the busy wait, against it", "overhead, 20 B", "no busy wait / floor"),
    ("the same, against awslambdaric", "overhead, 20 B", "no busy wait / awslambdaric"),
    ("`async def`, against a bare socket that does not sleep either", "overhead, 20 B",
     "async def / a floor that does not sleep"),
    ("a stream's first byte, against a plain answer", "overhead, 20 B",
     "a stream's first byte / plain's answer"),
    ("cold start", "cold start", "to the first GET /next / awslambdaric"),
    ("a start less a process that imports trio, of 40 ms", "cold start",
     "less a process that imports trio / 40 ms"),
    ("a start less trio's own import, of 40 ms", "cold start", "less trio's own import / 40 ms"),
    ("after `sys.exit`, to the next good answer", "crashes", "exit / awslambdaric"),
    ("after the process's death", "crashes", "death / awslambdaric"),
    ("14 clients for 16 slots: throughput (more is better)", "16 slots",
     "throughput, async def / awslambdaric"),
    ("the same, plain `def`", "16 slots", "throughput, plain def / awslambdaric"),
    ("the same, trio with nothing but sockets", "16 slots", "throughput, bare trio / awslambdaric"),
    ("16 clients for 16 slots: throughput", "16 slots, all taken",
     "throughput, async def / awslambdaric"),
    ("the same, plain `def`", "16 slots, all taken", "throughput, plain def / awslambdaric"),
    ("the same, p99 of an `async def` (less is better)", "16 slots, all taken",
     "p99, async def / awslambdaric"),
    ("16 slots: memory", "16 slots", "memory (PSS), async def / awslambdaric"),
    ("16 slots: memory, as if alone on its machine", "16 slots",
     "memory alone, async def / awslambdaric"),
    ("56 clients for 64 slots: throughput (more is better)", "64 slots",
     "throughput, async def / awslambdaric"),
    ("the same, plain `def`", "64 slots", "throughput, plain def / awslambdaric"),
    ("64 clients for 64 slots: throughput", "64 slots, all taken",
     "throughput, async def / awslambdaric"),
    ("the same, plain `def`", "64 slots, all taken", "throughput, plain def / awslambdaric"),
    ("64 slots: memory", "64 slots", "memory (PSS), async def / awslambdaric"),
    ("a call, against two parked trio tasks", "actors", "call / parked pair"),
    ("the same, between two actors", "actors", "call between actors / parked pair"),
    ("start and join of a child, against `nursery.start`", "actors",
     "start and join / nursery.start"),
    ("a call, against Erlang's gen_server", "peers", "call, okibi / gen_server"),
)  # fmt: skip


def table(results: KeptResults) -> str:
    """The page's lines between the two marks."""
    lines = ["| okibi against awslambdaric, or what it says | median | of its rounds | bar | |",
             "| --- | ---: | --- | ---: | --- |"]  # fmt: skip
    for words, *key in ROWS:
        row = results.rows.get((key[0], key[1]))
        if row is not None:
            mark = "" if row.met else " **missed** |"
            lines.append(f"| {words} | {_claim(row)} | {_spread(row)} | {_bar(row)} |{mark}")
    lines += ["", f"{results.date}, {results.machine}."]
    return "\n".join(lines)


def _claim(row: KeptRow) -> str:
    median = figure(row.median, row.bar)
    # A wide row claims nothing.
    return f"({median})" if row.wide else median


def _spread(row: KeptRow) -> str:
    spread = f"{figure(row.least)} to {figure(row.most)}"
    return f"{spread}, no claim" if row.wide else spread


def _bar(row: KeptRow) -> str:
    return "" if row.bar is None else figure(row.bar)


def written(page: str, lines: str) -> str:
    """The page with those lines between the marks.

    Raises:
        ValueError: the page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/performance.md has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{lines}\n{END}{after}"


def show(path: Path) -> None:
    """Draw a file's rows beside it, and write the page's table."""
    results = read(path)
    for drawn in draw(results, path.parent):
        print(f"drawn: {drawn}")
    PAGE.write_text(written(PAGE.read_text("utf-8"), table(results)), "utf-8")


def main() -> None:
    path = newest()
    if path is None:
        raise SystemExit("no results are kept: make bench-full")
    show(path)


if __name__ == "__main__":
    main()
