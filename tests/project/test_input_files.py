"""The input of a command has an end, and a limit."""

import os
import subprocess
from pathlib import Path

import pytest

from okibi.dev.env_file import read_env_file
from okibi.project.bad_input import BadInput
from okibi.project.input_files import MAX_TEXT, read_text
from okibi.project.reader import read_project


def test_a_text_may_have_one_megabyte_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"x" * MAX_TEXT)
    assert read_text(file, "the text") == "x" * MAX_TEXT

    file.write_bytes(b"x" * (MAX_TEXT + 1))
    with pytest.raises(BadInput, match=r"^the text: has over 1 MB; give a smaller one$"):
        read_text(file, "the text")


def test_a_pipe_is_not_opened_where_a_file_is_needed(tmp_path: Path) -> None:
    subprocess.run(["mkfifo", tmp_path / "pyproject.toml"], check=True)

    with pytest.raises(BadInput, match=r"pyproject.toml: is a pipe or a device; write the content"):
        read_project(tmp_path)


def test_a_device_without_end_is_refused_where_a_pipe_will_do() -> None:
    assert read_env_file(os.devnull) == {}

    with pytest.raises(BadInput, match=r"^--env-file /dev/zero: has over 1 MB"):
        read_env_file("/dev/zero")


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^it: cannot be read \(Is a directory\)$"):
        read_text(tmp_path, "it")
    with pytest.raises(BadInput, match=r"^it: cannot be read \(No such file or directory\)$"):
        read_text(tmp_path / "gone", "it")


def test_a_pyproject_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"x = {'[' * 5000}{']' * 5000}")

    with pytest.raises(BadInput, match=r"pyproject.toml: nested too deeply"):
        read_project(tmp_path)
