"""Write a zip that depends on the files' names and contents only."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

DATE = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip can have
LEVEL = 6
FILE, PROGRAM = 0o100644, 0o100755
UNIX = 3


def list_files(folder: Path) -> list[str]:
    """List the files below a folder as relative paths with slashes, sorted."""
    found: list[str] = []
    for path, _, names in os.walk(folder):
        prefix = os.path.relpath(path, folder).replace(os.sep, "/")
        found += [name if prefix == "." else f"{prefix}/{name}" for name in names]
    return sorted(found)


def write_zip(folder: Path, file: Path) -> Mapping[str, int]:
    """Write the files below a folder into a zip.

    Names are sorted, dates fixed, and of the permissions only the owner's right to execute counts.

    Args:
        folder: the root of the zip.
        file: the zip; replaced at the end, so that a failure leaves the old file.

    Returns:
        The compressed size of each file.

    Raises:
        OSError: the zip cannot be written.
    """
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
            for name in list_files(folder):
                _add(archive, folder / name, name)
            sizes = {entry.filename: entry.compress_size for entry in archive.infolist()}
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return sizes


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, DATE)
    entry.create_system = UNIX
    entry.external_attr = (PROGRAM if path.stat().st_mode & 0o100 else FILE) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, path.read_bytes(), compresslevel=LEVEL)
