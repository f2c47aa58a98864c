"""The names of packages."""

import re


def normalize(name: str) -> str:
    """Normalize the name of a package (PyPA, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()
