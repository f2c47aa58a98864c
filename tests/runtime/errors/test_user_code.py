"""What was installed beside the user's own code is told from it."""

import json
from pathlib import Path

import pytest
import trio

import okibi.local
import okibi.supervisors.supervisor
from okibi.runtime.errors import user_code
from okibi.runtime.errors.user_code import (
    is_installed,
    is_okibi_file,
    is_user_file,
    is_written_by_user,
)


def test_the_interpreter_s_own_trio_and_okibi_are_not_the_user_s() -> None:
    for file in (json.__file__, trio.__file__, "<frozen x>"):
        assert not is_user_file(file)
    for file in (__file__, pytest.__file__, "/var/task/app.py"):
        assert is_user_file(file)


@pytest.mark.parametrize(
    "file", [okibi.__file__, okibi.local.__file__, okibi.supervisors.supervisor.__file__]
)
def test_every_file_of_okibi_is_its_own(file: str) -> None:
    assert is_okibi_file(file)
    assert not is_user_file(file)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A package for Lambda, as `pip install --target` leaves it."""
    lists = {
        "redis-8.1.0": "redis/client.py,sha256=a,1\n",
        "google_cloud_storage-3.0": "google/cloud/storage.py,sha256=a,1\n",
        "SQLAlchemy-1.4": "sqlalchemy/engine.py,sha256=a,1\n",
        "typing.extensions-4.0": "typing_extensions.py,sha256=a,1\n",
        "ours-1.0": "ours/work.py,sha256=a,1\n",
    }
    for name, files in lists.items():
        (folder := tmp_path / f"{name}.dist-info").mkdir()
        (folder / "RECORD").write_text(files)
    (tmp_path / "ours-1.0.dist-info" / "direct_url.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "redis/client.py",
        "redis/asyncio/client.py",
        "google/cloud/storage.py",
        "sqlalchemy/engine.py",
        "typing_extensions.py",
    ],
)
def test_what_a_dist_info_beside_it_tells_of_is_installed(root: Path, file: str) -> None:
    assert is_installed(str(root / file))
    assert not is_written_by_user(str(root / file))


@pytest.mark.parametrize(
    "file", ["app.py", "src/app.py", "src/redis.py", "rediscover.py", "goo/app.py", "goog.py"]
)
def test_what_none_tells_of_is_the_user_s(root: Path, file: str) -> None:
    assert not is_installed(str(root / file))
    assert is_written_by_user(str(root / file))


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_what_lies_in_a_folder_of_installed_ones_needs_nobody_to_tell_of_it(
    root: Path, folder: str
) -> None:
    """PyYAML's is called yaml; a Python of Debian's has its own in dist-packages."""
    assert is_installed(str(root / folder / "yaml" / "loader.py"))
    assert not is_written_by_user(str(root / folder / "yaml" / "loader.py"))


def test_what_begins_alike_counts_by_the_list_of_its_files(root: Path) -> None:
    (root / "app_common-1.0.dist-info").mkdir()
    (root / "app_common-1.0.dist-info" / "RECORD").write_text("app_common/a.py,sha256=a,1\n")

    assert not is_installed(str(root / "app.py"))
    assert is_installed(str(root / "app_common" / "a.py"))


def test_what_a_folder_tells_of_is_read_once_for_all_that_lies_in_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of hundreds that takes a share of the margin, on a machine as slow as Lambda's smallest."""
    names = list[str]()
    plain = user_code._normalized

    def normalized(name: str) -> str:
        names.append(name)
        return plain(name)

    monkeypatch.setattr(user_code, "_normalized", normalized)

    for number in range(10):
        assert not is_installed(str(root / f"mine_{number}.py"))

    assert names.count("redis") == 1


def test_what_was_installed_from_somebody_s_own_folder_is_his(root: Path) -> None:
    assert is_written_by_user(str(root / "ours" / "work.py"))


def test_a_compiled_module_s_file_that_is_not_there_is_where_it_was_built(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (root / "fast.pyx").touch()
    (root / "redis").mkdir()
    (root / "redis" / "speedups.pyx").touch()

    assert is_installed("asyncpg/protocol/protocol.pyx")
    assert is_installed("redis/speedups.pyx")
    assert not is_installed("fast.pyx")


def test_no_folder_can_be_read_without_a_descriptor_and_nothing_is_raised(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("builtins.open", refuses)
    assert not is_installed(str(root / "google" / "cloud" / "storage.py"))
    monkeypatch.setattr("os.listdir", refuses)
    assert not is_installed(str(root / "elsewhere" / "redis" / "client.py"))
