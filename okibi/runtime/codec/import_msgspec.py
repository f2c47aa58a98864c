"""Import msgspec without `typing_extensions`.

msgspec takes three names from `typing_extensions` if installed. From Python 3.11 on `typing` has
them. The user's code would otherwise find okibi's copy, even if the user bundles a newer one.
"""

import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

# What msgspec imports, and msgspec itself.
NEEDED = frozenset({"datetime", "decimal", "enum", "msgspec", "numbers", "platform", "uuid"})


def import_if_shadowed(folders: Iterable[str]) -> None:
    """Import msgspec now if a later import would find a file of the user's in its place.

    Args:
        folders: the folders that go first on the path after this call.
    """
    for folder in folders:
        with suppress(OSError):
            if not NEEDED.isdisjoint(name.partition(".")[0] for name in os.listdir(folder)):
                import_msgspec()
                return


def import_msgspec() -> Any:
    """Import msgspec without importing `typing_extensions`; return msgspec.

    Beside another thread this is a plain import: the other thread could otherwise import
    `typing_extensions`, and fail.
    """
    name = "typing_extensions"
    if "msgspec" in sys.modules or threading.active_count() > 1 or name in sys.modules:
        __import__("msgspec.json")
        return sys.modules["msgspec"]
    # None in sys.modules makes an import of the module fail.
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        __import__("msgspec.json")
    finally:
        del sys.modules[name]
    return sys.modules["msgspec"]
