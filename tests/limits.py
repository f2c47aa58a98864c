"""How long a test may hang, and how many examples Hypothesis tries."""

from hypothesis import settings

# Ends a test that hangs. No test measures with it, so it is far above what a busy machine needs.
HANG = 120.0


def examples(count: int) -> int:
    """The number of examples under the profile in use: `count` under the default one."""
    return max(1, count * settings().max_examples // 100)
