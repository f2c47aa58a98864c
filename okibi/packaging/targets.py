"""The Python, processor and C library that a package is built for."""

import attrs

from ..project.bad_input import BadInput
from ..project.pythons import ARCHITECTURES, PYTHONS

# The glibc of `provided.al2023`.
PROVIDED_GLIBC = (2, 34)
FORMATS = ("managed", "bundled", "layer", "image", "runtime")
OTHER_NAMES = {"amd64": "x86_64", "x86-64": "x86_64", "aarch64": "arm64"}


@attrs.frozen
class Target:
    """The Lambda runtime that a package is for.

    Args:
        python: the minor version, such as (3, 13).
        architecture: "x86_64" or "arm64", as Lambda writes them.
        format: the package's format, one of FORMATS.
        glibc: the newest version of glibc that the target has.
    """

    python: tuple[int, int]
    architecture: str
    format: str
    glibc: tuple[int, int]

    @property
    def python_version(self) -> str:
        """The minor version as text, such as "3.13"."""
        return "{}.{}".format(*self.python)

    @property
    def machine(self) -> str:
        """The processor as Linux and wheels name it: "x86_64" or "aarch64"."""
        return "aarch64" if self.architecture == "arm64" else self.architecture


def parse_target(python: str, architecture: str, format: str) -> Target:  # noqa: A002
    """Parse the options of a target.

    Args:
        python: a minor version, such as "3.13".
        architecture: "x86_64" or "arm64"; "amd64" and "aarch64" are understood.
        format: the package's format, one of FORMATS.

    Returns:
        The target.

    Raises:
        BadInput: an option is wrong.
    """
    known = {"{}.{}".format(*each): each for each in PYTHONS}
    if python not in known:
        raise BadInput(f"--python {python}: must be one of {', '.join(known)}")
    architecture = OTHER_NAMES.get(architecture, architecture)
    if architecture not in ARCHITECTURES:
        raise BadInput(f"--arch {architecture}: must be {' or '.join(ARCHITECTURES)}")
    if format not in FORMATS:
        raise BadInput(f"--format {format}: must be one of {', '.join(FORMATS)}")
    version = known[python]
    # Only the managed runtime and layers of Python 3.11 run on Amazon Linux 2.
    glibc = PYTHONS[version] if format in ("managed", "layer") else PROVIDED_GLIBC
    return Target(version, architecture, format, glibc)
