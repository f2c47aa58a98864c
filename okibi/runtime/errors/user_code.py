"""Decide whose a file is: the interpreter's or okibi's, an installed library's, or the user's own.

`pip install --target` puts libraries beside the user's code, without a folder of their own. Each
leaves a `redis-8.1.0.dist-info`, whose name gives the module's name. The list of files in a
dist-info is read only if the names begin alike (`google` and google-cloud-storage): to read all
lists takes longer than a deadline allows. A library with another name (PyYAML installs `yaml`)
therefore counts as the user's.

Only the report of a time-out asks whether a file is installed.
"""

import os
import re
import sys
from functools import cache

PACKAGES = ("site-packages", "dist-packages")
# In a dist-info: the package was installed from a folder or URL, so it is the user's (PEP 610).
_DIRECT_URL = "direct_url.json"
OKIBI = os.path.join(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")), "")
_FRAMEWORK = ("trio", "outcome")
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = tuple(os.path.join(_STANDARD, name, "") for name in PACKAGES)


def is_user_file(filename: str) -> bool:
    """Return whether a file belongs neither to okibi, nor to trio, nor to the standard library."""
    if filename.startswith("<") or is_framework_file(filename):
        return False
    return not filename.startswith(_STANDARD) or filename.startswith(_INSTALLED)


def is_written_by_user(filename: str) -> bool:
    """Return whether a file is the user's and not installed."""
    return is_user_file(filename) and not is_installed(filename)


def is_framework_file(filename: str) -> bool:
    """Return whether a file belongs to okibi or trio, which call the handler."""
    return is_okibi_file(filename) or any(_belongs_to(filename, name) for name in _FRAMEWORK)


def is_okibi_file(filename: str) -> bool:
    """Return whether a file belongs to okibi."""
    return filename.startswith(OKIBI)


def _belongs_to(filename: str, package: str) -> bool:
    loaded = sys.modules.get(package)
    home = loaded.__file__ if loaded is not None else None
    return home is not None and filename.startswith(os.path.dirname(home) + os.sep)


def is_installed(filename: str) -> bool:
    """Return whether pip or a similar tool installed a file.

    Args:
        filename: a frame's file name; a compiled module's is relative, often to its build folder.
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
    wanted = _normalize(module)
    for name, path in _dist_infos(folder):
        if name != wanted and not (name.startswith(f"{wanted}_") and _lists_module(path, module)):
            continue
        if not os.path.exists(os.path.join(path, _DIRECT_URL)):
            return True
    return False


@cache
def _dist_infos(folder: str) -> list[tuple[str, str]]:
    """List the dist-infos of a folder, each with the package's name; cached, since one report asks
    for each frame.
    """
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".dist-info")]
    except OSError:
        return []
    return [(_normalize(name.partition("-")[0]), os.path.join(folder, name)) for name in names]


def _lists_module(path: str, module: str) -> bool:
    try:
        with open(os.path.join(path, "RECORD"), "rb") as record:
            return f"\n{module}/".encode() in b"\n" + record.read()
    except OSError:
        return False


def _normalize(name: str) -> str:
    return re.sub("[-_.]+", "_", name).lower()
