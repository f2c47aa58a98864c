"""The time limit of tests that would otherwise hang."""

# In seconds. No test measures with this limit, so it is far above the needs of a busy machine.
HANG = 120.0
