"""Whose a file is: okibi's or the interpreter's, the user's, or installed beside the user's own.

Whether it was installed is asked when a time-out is told of. A package for Lambda is made by `pip
install --target`, which puts libraries beside the user's code, in no folder whose name would tell
them apart. But each leaves its `redis-8.1.0.dist-info` there. That counts by its name, and by its
list of files only where the name begins alike (`google`, of google-cloud-storage): to read all
those lists takes longer than a deadline leaves. So what has another name, as PyYAML, stays taken
for the user's.
"""

import os
import re
import sys
from functools import cache

PACKAGES = ("site-packages", "dist-packages")
# Beside it lies what was installed of somebody's own: from a folder, say (PEP 610).
_OF_ONES_OWN = "direct_url.json"
OKIBI = os.path.join(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")), "")
_BELOW = ("trio", "outcome")
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = tuple(os.path.join(_STANDARD, name, "") for name in PACKAGES)


def is_user_file(filename: str) -> bool:
    """Whether a file is neither okibi's nor trio's nor the interpreter's own."""
    if filename.startswith("<") or is_framework_file(filename):
        return False
    return not filename.startswith(_STANDARD) or filename.startswith(_INSTALLED)


def is_written_by_user(filename: str) -> bool:
    """The same, and not installed: what the user has written himself."""
    return is_user_file(filename) and not is_installed(filename)


def is_framework_file(filename: str) -> bool:
    """Whether a file is of what handlers stand on: okibi's own or trio's."""
    return is_okibi_file(filename) or any(_is_of(filename, name) for name in _BELOW)


def is_okibi_file(filename: str) -> bool:
    """Whether a file is okibi's."""
    return filename.startswith(OKIBI)


def _is_of(filename: str, package: str) -> bool:
    loaded = sys.modules.get(package)
    home = loaded.__file__ if loaded is not None else None
    return home is not None and filename.startswith(os.path.dirname(home) + os.sep)


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
