"""The on-failure file of a function: one record for each event that was dropped."""

from pathlib import Path

import attrs

from .private_files import PrivateFile, make_private_folder, replace_file

# Where on-failure files go without `--data`: in the current folder.
OWN_FOLDER = Path(".okibi")


def failure_folder(data: Path | None) -> Path:
    """Return the folder of the on-failure files.

    Args:
        data: the data folder, or None for `.okibi` in the current folder.
    """
    return (OWN_FOLDER if data is None else data).absolute() / "on-failure"


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
            ignore = self.path.parent.parent / ".gitignore"
            if self.own_folder and not ignore.exists():
                replace_file(ignore, b"*\n")
            self._file = PrivateFile(self.path)
        self._file.append(record)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
