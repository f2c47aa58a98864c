"""How a run at full size ends: what it counted, what went wrong, and its exit code."""

from collections import Counter
from collections.abc import Sequence


def verdict(counts: Counter[str], failures: Sequence[str]) -> int:
    """Print them, the first twenty failures of all; 1 if there are any."""
    for what, count in counts.most_common():
        print(f"{count:8}  {what}")
    print("\n".join(failures[:20]))
    return 1 if failures else 0
