"""The version stands in pyproject.toml; all others follow it."""

import pytest

from tests.release.tag import ROOT, newest_heading, project_version, refuse_tag


def test_the_changelog_begins_with_the_version_of_the_project() -> None:
    heading = newest_heading((ROOT / "CHANGELOG.md").read_text("utf-8"))

    assert heading.partition(" ")[0] == project_version()


def test_no_other_file_of_the_project_states_the_version() -> None:
    files = [*(ROOT / "okibi").rglob("*.py"), *(ROOT / "docs").glob("*.py"), ROOT / "Makefile"]
    version = f'"{project_version()}"'

    assert [file.name for file in files if version in file.read_text("utf-8")] == []


@pytest.mark.parametrize(
    ("tag", "heading", "reason"),
    [
        ("v1.2.0", "1.2.0 (2026-12-01)", ""),
        ("v1.2.1", "1.2.0 (2026-12-01)", "the tag must be v1.2.0, got v1.2.1"),
        ("1.2.0", "1.2.0 (2026-12-01)", "the tag must be v1.2.0, got 1.2.0"),
        ("v1.2.0", "1.2.0 (unreleased)", "write the day of the release"),
        ("v1.2.0", "1.1.0 (2026-12-01)", "write the day of the release"),
    ],
)
def test_a_tag_must_name_the_version_and_the_changelog_its_day(
    tag: str, heading: str, reason: str
) -> None:
    refused = refuse_tag(tag, "1.2.0", heading)

    assert reason in refused
    assert bool(refused) == bool(reason)
