"""How many examples Hypothesis tries: all, or in the profile `quick` a quarter."""

from hypothesis import HealthCheck, settings

# A busy machine makes any example and any draw slow.
settings.register_profile("all", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("all")
# `make test` chooses it.
settings.register_profile("quick", max_examples=25)


def examples(count: int) -> int:
    """The number of examples in the profile in use: `count` in the default one."""
    return max(1, count * settings().max_examples // 100)
