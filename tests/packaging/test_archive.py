"""A zip depends on names, contents and the right to execute only."""

import os
import zipfile
from pathlib import Path

import pytest

from okibi.packaging.archive import write_zip


def make_folder(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}" * 100)
    return folder


NAMES = ["app.py", "bootstrap", "lib/a.py", "lib/b/c.py", "lib-b.py"]


def test_the_same_files_give_the_same_zip_anywhere(tmp_path: Path) -> None:
    first = make_folder(tmp_path / "first", NAMES)
    old = os.umask(0o077)
    try:
        second = make_folder(tmp_path / "elsewhere" / "second", NAMES[::-1])
    finally:
        os.umask(old)
    os.utime(second / "app.py", (0, 0))

    write_zip(first, tmp_path / "1.zip")
    write_zip(second, tmp_path / "2.zip")

    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_programs_stay_executable_and_all_files_are_readable(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folder", ["app.py", "bootstrap"])
    (folder / "app.py").chmod(0o600)
    (folder / "bootstrap").chmod(0o700)

    write_zip(folder, tmp_path / "made.zip")

    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        modes = {entry.filename: entry.external_attr >> 16 for entry in made.infolist()}
    assert modes == {"app.py": 0o100644, "bootstrap": 0o100755}


def test_the_sizes_in_the_zip_are_returned(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folder", ["app.py"])

    sizes = write_zip(folder, tmp_path / "made.zip")

    assert 0 < sizes["app.py"] < (folder / "app.py").stat().st_size


def test_a_failure_leaves_the_old_zip_and_no_other_file(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folder", ["app.py"])
    (folder / "gone.py").symlink_to("nowhere")
    out = tmp_path / "out"
    out.mkdir()
    (out / "made.zip").write_text("old")

    with pytest.raises(OSError, match=r"nowhere|gone"):
        write_zip(folder, out / "made.zip")

    assert [(file.name, file.read_text()) for file in out.iterdir()] == [("made.zip", "old")]
