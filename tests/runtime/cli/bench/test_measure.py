"""A first answer that is an error: what is measured all the same, and what is advised."""

from pathlib import Path
from typing import Any

import pytest

from runtime.cli.bench.command import bench
from runtime.cli.bench.order import Given
from tests.runtime.side_by_side import skip_without_official

APP = """
import os

def echo(event, context):
    return event

def broken(event, context):
    raise ValueError("no")

def ends(event, context):
    os._exit(7)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: one with an app.py."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)


def refused(capfd: pytest.CaptureFixture[str], handler: str, **given: Any) -> str:
    """The sentence."""
    options: Given = {"quick": True, "rounds": "1", **given}  # type: ignore[typeddict-item]
    assert bench(handler, None, options) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("allow_errors", [False, True])
def test_where_each_event_ends_its_process_nothing_can_be_warm(
    allow_errors: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    said = refused(capfd, "app.ends", allow_errors=allow_errors)

    assert said.startswith("okibi: app.ends on okibi fails on this event: Runtime.ExitError: ")
    assert said.endswith("exit status 7; give an event that its process outlives\n")


@skip_without_official
def test_who_has_named_the_peer_s_handler_is_not_told_to_name_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = refused(capfd, "app.echo", peer="awslambdaric", peer_handler="app.broken")

    assert said.startswith("okibi: app.broken on awslambdaric fails on this event: ValueError: no")
    assert "; give an event that it can answer, or --allow-errors" in said
