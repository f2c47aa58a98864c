"""The on-failure file of a function: one record for each event that was dropped."""

from pathlib import Path

import attrs

from .private_files import PrivateFile, make_private_folder, replace_file

# Where files go without `--data`: in the current folder.
OWN_FOLDER = Path(".okibi")


def find_data_folder(data: Path | None) -> Path:
    """Return the folder of what survives the end of `okibi dev`.

    Args:
        data: the data folder, or None for `.okibi` in the current folder.
    """
    return (OWN_FOLDER if data is None else data).absolute()


def failure_folder(data: Path | None) -> Path:
    """Return the folder of the on-failure files; `data` as above."""
    return find_data_folder(data) / "on-failure"


def ignore_in_git(folder: Path) -> None:
    """Let Git ignore a folder, with all that it contains."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        replace_file(ignore, b"*\n")


@attrs.define(eq=False)
class FailureFile:
    """The on-failure file of a function. It is created for the first record.

    Args:
        path: the file.
        own_folder: whether the folder is okibi's own, and Git is to ignore it.
    """

    path: Path
    own_folder: bool
    _file: PrivateFile | None = attrs.field(default=None, init=False)

    def append(self, record: bytes) -> None:
        """Append a record.

        Raises:
            OSError: the record could not be written, and nothing of it was.
        """
        if self._file is None:
            make_private_folder(self.path.parent)
            if self.own_folder:
                ignore_in_git(self.path.parent.parent)
            self._file = PrivateFile(self.path)
        self._file.append(record)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
