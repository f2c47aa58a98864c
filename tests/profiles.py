"""How many examples Hypothesis tries: all, or in the profile `quick` a quarter."""

from hypothesis import settings

# `make test` chooses it.
settings.register_profile("quick", max_examples=25)


def examples(count: int) -> int:
    """The number of examples in the profile in use: `count` in the default one."""
    return max(1, count * settings().max_examples // 100)
