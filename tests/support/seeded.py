"""A fixture for tests of seeded runs."""

import logging
from collections.abc import Iterator

import pytest
import trio


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore trio's random order after runs that seed it, and log nothing."""
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
