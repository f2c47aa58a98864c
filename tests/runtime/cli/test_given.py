"""What is given on the command line."""

from pathlib import Path

import pytest

from runtime.cli.given import BadInput, event_of


@pytest.mark.parametrize("event", ["null", "5", "true", "-1.5"])
def test_what_is_json_is_an_event_also_where_it_has_no_brackets(
    event: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert event_of(event) == event.encode()

    Path(event).write_text("[1]")
    assert event_of(event) == b"[1]"


def test_an_event_that_is_no_json_is_told_what_one_looks_like() -> None:
    with pytest.raises(BadInput, match=r'is not JSON: .*; an event is, as \{"name": "you"\}'):
        event_of("{'name': 'you'}")
