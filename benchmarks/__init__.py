"""Benchmarks: ratios between contenders, measured in one run on one machine."""

import os

# Otherwise each timed process would compile its imports, if the caller has set this.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
