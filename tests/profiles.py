"""The number of examples that Hypothesis tries: all, or a quarter in the profile `quick`."""

from hypothesis import HealthCheck, settings

# A busy machine makes any example and any draw slow.
settings.register_profile("all", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("all")
# Used by `make test`.
settings.register_profile("quick", max_examples=25)


def examples(count: int) -> int:
    """Return the number of examples in the current profile, from the number in the default one."""
    return max(1, count * settings().max_examples // 100)
