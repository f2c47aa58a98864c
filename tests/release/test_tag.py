"""The version stands in pyproject.toml; all others follow it."""

from pathlib import Path

import pytest

from tests.release.tag import (
    ROOT,
    find_unreleased,
    newest_heading,
    project_version,
    refuse_tag,
)


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


def test_a_page_with_a_placeholder_is_not_released(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text('Source = "https://github.com/OWNER/okibi"\n')
    (tmp_path / "docs" / "index.md").write_text("okibi is not on PyPI yet\n")
    (tmp_path / "README.md").write_text("the OWNER of a lease\n")

    docs, project = find_unreleased(tmp_path).splitlines()

    assert docs.startswith("docs/index.md says 'not on PyPI yet': remove the words")
    assert project.startswith("pyproject.toml says 'github.com/OWNER/': replace OWNER")
