"""Files with events: readable for their user alone, written by appending or as a whole."""

import errno
import fcntl
import os
from pathlib import Path

import attrs

MODE = 0o600


class FolderInUse(OSError):
    """Another process uses the folder. The message says what to do."""


@attrs.define(eq=False)
class PrivateFile:
    """A file with mode 0600, opened for appending. Created if missing."""

    path: Path
    _file: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self.path, flags, MODE)
        # A file that exists keeps its mode otherwise.
        os.fchmod(self._file, MODE)

    def append(self, line: bytes) -> None:
        """Append a whole line, or nothing.

        Raises:
            OSError: the line could not be written, as on a full disk.
        """
        size = os.fstat(self._file).st_size
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            # Half a line would spoil the next one.
            os.ftruncate(self._file, size)
            # The system does not name the file of a descriptor.
            error.filename = str(self.path)
            raise

    def clear(self) -> None:
        """Remove the content."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole: a kill leaves the old content or the new.

    Raises:
        OSError: the file cannot be written.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    file = PrivateFile(new)
    try:
        file.append(content)
    finally:
        file.close()
    new.replace(path)


def make_private_folder(folder: Path) -> None:
    """Create a folder with mode 0700 and its parents. A folder that exists keeps its mode.

    Raises:
        OSError: the folder cannot be created.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def lock_folder(folder: Path) -> int:
    """Lock a folder against other processes until the returned file is closed.

    Raises:
        FolderInUse: another process holds the lock.
        OSError: the folder cannot be opened.
    """
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if error.errno == errno.EWOULDBLOCK:
            raise FolderInUse(
                f"{folder}: another okibi dev keeps its events there; end it, or give another"
                " folder"
            ) from error
        raise
    return file
