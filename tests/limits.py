"""The time limit of tests that would otherwise hang."""

# In seconds. No test measures with it, so it is far above what a busy machine needs.
HANG = 120.0
