"""Whether a file was installed, and is none of the user's own: asked when a time-out is told of.

A package for Lambda is made by `pip install --target`, which puts libraries beside the user's code,
in no folder whose name would tell them apart. But each leaves its `redis-8.1.0.dist-info` there.
That counts by its name, and by its list of files only where the name begins alike (`google`, of
google-cloud-storage): to read all those lists takes longer than a deadline leaves. So what has
another name, as PyYAML, stays taken for the user's.
"""

import os
import re
from functools import cache

PACKAGES = ("site-packages", "dist-packages")
# Beside it lies what was installed of somebody's own: from a folder, say (PEP 610).
_OF_ONES_OWN = "direct_url.json"


def is_installed(filename: str) -> bool:
    """Whether pip, or its like, has put a file where it is.

    Args:
        filename: of a frame; a compiled module's is relative, often to where it was built.
    """
    if any(f"/{name}/" in filename for name in PACKAGES):
        return True
    if not os.path.isabs(filename) and not os.path.exists(filename):
        return True
    folder, name = os.path.split(os.path.abspath(filename))
    while name:
        if _has_installed(folder, name.removesuffix(".py")):
            return True
        folder, name = os.path.split(folder)
    return False


@cache
def _has_installed(folder: str, module: str) -> bool:
    wanted = _normalized(module)
    for name, path in _told_in(folder):
        if name != wanted and not (name.startswith(f"{wanted}_") and _lists(path, module)):
            continue
        if not os.path.exists(os.path.join(path, _OF_ONES_OWN)):
            return True
    return False


@cache
def _told_in(folder: str) -> list[tuple[str, str]]:
    """What it is told of there, each with the folder that tells: hundreds, and asked for often."""
    try:
        told = [name for name in os.listdir(folder) if name.endswith(".dist-info")]
    except OSError:
        return []
    return [(_normalized(name.partition("-")[0]), os.path.join(folder, name)) for name in told]


def _lists(path: str, module: str) -> bool:
    try:
        with open(os.path.join(path, "RECORD"), "rb") as record:
            return f"\n{module}/".encode() in b"\n" + record.read()
    except OSError:
        return False


def _normalized(name: str) -> str:
    return re.sub("[-_.]+", "_", name).lower()
