"""What `okibi.actors.logs.count` was told while a test ran."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from okibi.actors import logs


@contextmanager
def counting() -> Iterator[Counter[tuple[str, str]]]:
    """Count until the block ends: by what has happened, and the path."""
    counts = Counter[tuple[str, str]]()

    def add(what: str, path: str, number: int) -> None:
        counts[what, path] += number

    end = logs.count_with(add)
    try:
        yield counts
    finally:
        end()
