"""The files of a release, and the rules for them. Nothing here reads or writes."""

import copy
import json
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import attrs
from packaging.utils import parse_sdist_filename, parse_wheel_filename

# Each needs a wheel with the encoder. Amazon Linux 2, of Lambda's Python 3.11, has glibc 2.26.
C_LIBRARIES = {"manylinux": (2, 26), "musllinux": (1, 2)}
PROCESSORS = ("aarch64", "x86_64")
PLATFORM = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)")
# Files in git that the sdist leaves out: links to folders, and files for a clone only.
NOT_IN_SDIST = ("actors", "runtime", "supervisors", ".ci/", ".gitignore")


@attrs.frozen
class Artifact:
    """A file of a release.

    Args:
        name: the file's name.
        version: the version that the name states.
        platforms: the platform tags of a wheel; empty for the sdist.
    """

    name: str
    version: str
    platforms: frozenset[str] = frozenset()

    @property
    def is_wheel(self) -> bool:
        """Whether the file is a wheel."""
        return self.name.endswith(".whl")

    @property
    def is_portable(self) -> bool:
        """Whether the file installs on every platform."""
        return not self.is_wheel or self.platforms == {"any"}

    @property
    def has_encoder(self) -> bool:
        """Whether the file must contain the compiled encoder."""
        return self.is_wheel and not self.is_portable

    def runs_on(self, library: str, newest: tuple[int, int], processor: str) -> bool:
        """Return whether a wheel with the encoder fits.

        Args:
            library: "manylinux" for glibc, or "musllinux".
            newest: the version of the C library there.
            processor: "x86_64" or "aarch64".
        """
        tags = [found for tag in self.platforms if (found := PLATFORM.fullmatch(tag))]
        return any(
            (found[1], found[4]) == (library, processor)
            and (int(found[2]), int(found[3])) <= newest
            for found in tags
        )


def parse_artifact(name: str) -> Artifact:
    """Read what a file's name states.

    Raises:
        packaging.utils.InvalidWheelFilename, packaging.utils.InvalidSdistFilename: the name is
            neither a wheel's nor an sdist's.

    >>> parse_artifact("okibi-0.1.0-py3-none-any.whl").is_portable
    True
    """
    if not name.endswith(".whl"):
        return Artifact(name, str(parse_sdist_filename(name)[1]))
    _, version, _, tags = parse_wheel_filename(name)
    return Artifact(name, str(version), frozenset(tag.platform for tag in tags))


def missing_from_sdist(tracked: Iterable[str], contained: Collection[str]) -> list[str]:
    """Return the files in git that an sdist must contain and does not.

    Args:
        tracked: the paths in git.
        contained: the paths in the sdist, without its top folder.
    """
    return [
        path
        for path in tracked
        if path not in contained
        and not any(
            path == left or (left.endswith("/") and path.startswith(left)) for left in NOT_IN_SDIST
        )
    ]


def find_problems(artifacts: Sequence[Artifact], version: str) -> list[str]:
    """Return why these files are not a complete release of a version; empty if they are.

    A release has one sdist, one wheel without the encoder, and one wheel for each C
    library and processor.
    """
    problems = [
        f"{artifact.name}: has version {artifact.version}, pyproject.toml has {version}"
        for artifact in artifacts
        if artifact.version != version
    ]
    wheels = [artifact for artifact in artifacts if artifact.is_wheel]
    counts = {
        "sdist": len(artifacts) - len(wheels),
        "wheel for any platform": sum(wheel.is_portable for wheel in wheels),
        **{
            f"wheel for {library} {newest[0]}.{newest[1]} on {processor}": sum(
                wheel.runs_on(library, newest, processor) for wheel in wheels
            )
            for library, newest in C_LIBRARIES.items()
            for processor in PROCESSORS
        },
    }
    problems += [
        f"there must be one {what}, found {count}" for what, count in counts.items() if count != 1
    ]
    return problems


def complete_sbom(
    exported: Mapping[str, Any], licences: Mapping[str, Sequence[Mapping[str, object]]], time: str
) -> dict[str, Any]:
    """Complete the CycloneDX document of `uv export`: licences, okibi's address, a fixed time.

    Args:
        exported: the document.
        licences: the licences of each package by its name, as CycloneDX has them.
        time: the time of the commit, which makes two builds the same.

    Raises:
        KeyError: a package has no licence.
    """
    sbom = copy.deepcopy(dict(exported))
    okibi = sbom["metadata"]["component"]
    okibi["purl"] = f"pkg:pypi/okibi@{okibi['version']}"
    okibi["licenses"] = [{"expression": "MIT"}]
    for component in sbom["components"]:
        component["licenses"] = list(licences[component["name"]])
    sbom["metadata"]["timestamp"] = time
    del sbom["serialNumber"]
    sbom["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(sbom))}"
    return sbom


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows; the first row is the heading."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)
