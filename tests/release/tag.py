"""`python3 -m tests.release.tag v0.1.0`: check that a tag releases the version of pyproject.toml.

The changelog must have an entry with a date for the version, and no page a placeholder. Uses only
the standard library.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What pages say before the first release, and what has to be done.
UNRELEASED = {
    "github.com/OWNER/": "replace OWNER by the owner of the repository",
    "not on PyPI yet": "remove the words",
    "'./okibi[": "remove ./, as in pip install 'okibi[cli]'",
}


def project_version() -> str:
    """Return the version of pyproject.toml, the only place that states it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def find_unreleased(folder: Path) -> str:
    """Return what pages say that a release must not say, and what to do; "" without such a page."""
    files = [folder / "pyproject.toml", *folder.glob("*.md"), *folder.glob("docs/*.md")]
    return "\n".join(
        f"{file.relative_to(folder)} says {text!r}: {cure}"
        for file in sorted(files)
        for text, cure in UNRELEASED.items()
        if text in file.read_text("utf-8")
    )


def newest_heading(changelog: str) -> str:
    """Return the heading of the newest entry of the changelog, e.g. `0.1.0 (2026-12-01)`."""
    found = re.search(r"^## (.+)$", changelog, re.M)
    return found[1] if found else ""


def refuse_tag(tag: str, version: str, heading: str) -> str:
    """Return why a tag must not be released, or "".

    Args:
        tag: the tag, e.g. `v0.1.0`.
        version: the version of pyproject.toml.
        heading: the newest heading of the changelog.

    >>> refuse_tag("v0.1.0", "0.1.0", "0.1.0 (2026-12-01)")
    ''
    """
    if tag != f"v{version}":
        return f"pyproject.toml has version {version}: the tag must be v{version}, got {tag}"
    if not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading):
        return (
            f"CHANGELOG.md begins with `## {heading}`: "
            f"write the day of the release, as in `## {version} (2026-12-01)`"
        )
    return ""


def main(tag: str) -> str:
    """Return the reason against the tag, or ""."""
    heading = newest_heading((ROOT / "CHANGELOG.md").read_text("utf-8"))
    return find_unreleased(ROOT) or refuse_tag(tag, project_version(), heading)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
