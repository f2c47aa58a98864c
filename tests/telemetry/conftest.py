"""Each test of telemetry registers observers of its own."""

import pytest

from okibi.runtime.handlers import observed_event


@pytest.fixture(autouse=True)
def none_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    from okibi.runtime.serving import telemetry

    for name in ("AROUND_EVENTS", "AROUND_RECORDS", "AFTER_EVENTS"):
        monkeypatch.setattr(observed_event, name, [])
    for name in ("AROUND_EVENTS", "AFTER_EVENTS"):
        monkeypatch.setattr(telemetry, name, getattr(observed_event, name))
