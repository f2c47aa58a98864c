"""What every test of seeded runs does around them."""

import logging
from collections.abc import Iterator

import pytest
import trio


@pytest.fixture
def seeded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each run sets what makes trio's order its seed's; it is put back. Nothing is logged."""
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
