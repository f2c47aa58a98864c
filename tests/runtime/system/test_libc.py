"""Which C library this is, and where it has its threads."""

import ctypes.util
import platform
from errno import EINVAL, EPERM

import pytest

from okibi.runtime.system.libc import find_in_glibc, find_in_musl, is_glibc, is_musl


def test_the_c_library_is_known_as_the_platform_has_it() -> None:
    assert is_glibc() == (platform.libc_ver()[0] == "glibc")


@pytest.mark.parametrize(
    "answer",
    ["", None, ValueError("of macOS"), OSError(EINVAL, "of musl"), AttributeError("of Windows")],
)
def test_where_no_version_of_glibc_is_told_it_is_another(
    answer: str | Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confstr(_: str) -> str | None:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("os.confstr", confstr)

    assert not is_glibc()


@pytest.mark.skipif(not is_glibc(), reason="another C library")
def test_the_known_answer_is_the_one_that_ctypes_finds() -> None:
    find = ctypes.util.find_library

    assert find_in_glibc(find, "pthread") == find("pthread")


def test_of_other_libraries_ctypes_is_asked() -> None:
    assert find_in_glibc(lambda name: f"found {name}", "pthread_other") == "found pthread_other"


@pytest.mark.parametrize(
    ("answer", "system", "expected"),
    [
        (OSError(EINVAL, "of musl"), "linux", True),
        (OSError(EINVAL, "of another"), "darwin", False),
        (OSError(EPERM, "of another"), "linux", False),
        (ValueError("of macOS"), "darwin", False),
        (AttributeError("of Windows"), "win32", False),
        ("glibc 2.41", "linux", False),
    ],
)
def test_it_is_musl_that_knows_the_name_and_has_no_answer(
    answer: str | Exception, system: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confstr(_: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("os.confstr", confstr)
    monkeypatch.setattr("sys.platform", system)

    assert is_musl() is expected


def test_in_musl_threads_have_no_library_and_for_others_ctypes_is_asked() -> None:
    assert find_in_musl(lambda name: f"found {name}", "pthread") is None
    assert find_in_musl(lambda name: f"found {name}", "m") == "found m"
