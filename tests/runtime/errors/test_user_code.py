"""Files of okibi, of the interpreter, of installed libraries, and of the user."""

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


def test_files_of_the_interpreter_and_trio_are_not_the_user_s() -> None:
    for file in (json.__file__, trio.__file__, "<frozen x>"):
        assert not is_user_file(file)
    for file in (__file__, pytest.__file__, "/var/task/app.py"):
        assert is_user_file(file)


@pytest.mark.parametrize(
    "file", [okibi.__file__, okibi.local.__file__, okibi.supervisors.supervisor.__file__]
)
def test_every_file_of_okibi_is_recognised(file: str) -> None:
    assert is_okibi_file(file)
    assert not is_user_file(file)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Lambda package as made by `pip install --target`."""
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
def test_a_module_with_a_dist_info_beside_it_is_installed(root: Path, file: str) -> None:
    assert is_installed(str(root / file))
    assert not is_written_by_user(str(root / file))


@pytest.mark.parametrize(
    "file", ["app.py", "src/app.py", "src/redis.py", "rediscover.py", "goo/app.py", "goog.py"]
)
def test_a_module_without_a_dist_info_is_the_user_s(root: Path, file: str) -> None:
    assert not is_installed(str(root / file))
    assert is_written_by_user(str(root / file))


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_every_file_in_site_packages_is_installed(root: Path, folder: str) -> None:
    """PyYAML installs `yaml`; Debian's Python uses dist-packages."""
    assert is_installed(str(root / folder / "yaml" / "loader.py"))
    assert not is_written_by_user(str(root / folder / "yaml" / "loader.py"))


def test_a_similar_name_is_decided_by_the_list_of_files(root: Path) -> None:
    (root / "app_common-1.0.dist-info").mkdir()
    (root / "app_common-1.0.dist-info" / "RECORD").write_text("app_common/a.py,sha256=a,1\n")

    assert not is_installed(str(root / "app.py"))
    assert is_installed(str(root / "app_common" / "a.py"))


def test_the_dist_infos_of_a_folder_are_read_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading hundreds takes a share of the margin on Lambda's smallest machine."""
    names = list[str]()
    plain = user_code._normalize

    def normalized(name: str) -> str:
        names.append(name)
        return plain(name)

    monkeypatch.setattr(user_code, "_normalize", normalized)

    for number in range(10):
        assert not is_installed(str(root / f"mine_{number}.py"))

    assert names.count("redis") == 1


def test_a_package_installed_from_a_folder_is_the_user_s(root: Path) -> None:
    assert is_written_by_user(str(root / "ours" / "work.py"))


def test_a_compiled_module_s_missing_source_is_installed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (root / "fast.pyx").touch()
    (root / "redis").mkdir()
    (root / "redis" / "speedups.pyx").touch()

    assert is_installed("asyncpg/protocol/protocol.pyx")
    assert is_installed("redis/speedups.pyx")
    assert not is_installed("fast.pyx")


def test_without_a_free_descriptor_a_file_counts_as_the_user_s(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("builtins.open", refuses)
    assert not is_installed(str(root / "google" / "cloud" / "storage.py"))
    monkeypatch.setattr("os.listdir", refuses)
    assert not is_installed(str(root / "elsewhere" / "redis" / "client.py"))
