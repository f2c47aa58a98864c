"""The end of a run at full size: counts, failures, and the exit code."""

from collections import Counter
from collections.abc import Sequence


def verdict(counts: Counter[str], failures: Sequence[str]) -> int:
    """Print counts and the first twenty failures; return 1 if there are failures."""
    for what, count in counts.most_common():
        print(f"{count:8}  {what}")
    print("\n".join(failures[:20]))
    return 1 if failures else 0
