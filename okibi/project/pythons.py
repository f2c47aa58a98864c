"""The Pythons and processors that Lambda has."""

import sys
from collections.abc import Mapping
from types import MappingProxyType

# Lambda's Pythons, each with the glibc of its system: Amazon Linux 2, then Amazon Linux 2023.
PYTHONS: Mapping[tuple[int, int], tuple[int, int]] = MappingProxyType(
    {(3, 11): (2, 26), (3, 12): (2, 34), (3, 13): (2, 34), (3, 14): (2, 34)}
)
# The Python of a package if neither the user nor this machine says another.
PREFERRED = (3, 13)
ARCHITECTURES = ("x86_64", "arm64")


def default_python() -> str:
    """Return the version of this Python if Lambda has it, else the one that okibi prefers."""
    version = sys.version_info[:2]
    return "{}.{}".format(*(version if version in PYTHONS else PREFERRED))
