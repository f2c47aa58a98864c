"""A zip that another tool has made, or that has changed since, is checked before it is deployed."""

import importlib.util
import io
import os
import py_compile
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from okibi.packaging.archive import write_zip
from okibi.packaging.bytecode import MAGIC_NUMBERS
from okibi.packaging.layouts.layer import arrange_layer
from okibi.packaging.staging import Staged
from okibi.packaging.start_files import IMAGE, MANIFEST, hash_package, manifest, seal_image
from okibi.packaging.targets import parse_target
from okibi.packaging.zip_check import CHANGED, COMPRESSION, LINK, OUTSIDE, TWICE, check_zip
from okibi.project.bad_input import BadInput

HERE = parse_target("{}.{}".format(*sys.version_info[:2]), "x86_64", "managed")


def make_zip(folder: Path, mode: py_compile.PycInvalidationMode, time: int) -> Path:
    """A zip of a source and its bytecode, with one time for both as many tools write it."""
    source = folder / "app.py"
    source.write_text("x = 1\n")
    os.utime(source, (1_700_000_000, 1_700_000_000))
    cached = Path(str(py_compile.compile(str(source), invalidation_mode=mode)))
    made = folder / "function.zip"
    date = (
        (2023, 11, 14, 22, 13, 20) if time else (1980, 1, 1, 0, 0, 0)
    )  # 1_700_000_000 is the first
    with zipfile.ZipFile(made, "w") as opened:
        for file in (source, cached):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date)
            opened.writestr(entry, file.read_bytes())
    return made


TIMESTAMP = py_compile.PycInvalidationMode.TIMESTAMP
HASH = py_compile.PycInvalidationMode.UNCHECKED_HASH


def test_a_zip_that_changed_the_times_of_sources_is_refused(tmp_path: Path) -> None:
    made = make_zip(tmp_path, TIMESTAMP, 0)

    (sentence,), _ = check_zip(made, HERE)

    assert "has bytecode tied to a time that its source does not have in the zip" in sentence


def test_a_zip_that_kept_the_times_of_sources_is_good(tmp_path: Path) -> None:
    assert check_zip(make_zip(tmp_path, TIMESTAMP, 1), HERE) == ([], [])


def test_hashed_bytecode_is_good_with_any_times(tmp_path: Path) -> None:
    assert check_zip(make_zip(tmp_path, HASH, 0), HERE) == ([], [])


def test_bytecode_of_an_older_source_is_refused(tmp_path: Path) -> None:
    cached = importlib.util.cache_from_source("app.py")
    with zipfile.ZipFile(make_zip(tmp_path, HASH, 0)) as opened:
        pyc = opened.read(cached)
    made = tmp_path / "stale.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("app.py", "x = 2\n")
        opened.writestr(cached, pyc)

    (sentence,), _ = check_zip(made, HERE)

    assert sentence == f"{cached} has bytecode of another source than the one beside it"


def test_a_zip_without_bytecode_is_good_but_slow(tmp_path: Path) -> None:
    made = tmp_path / "plain.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("app.py", "x = 1\n")

    wrong, (note,) = check_zip(made, HERE)

    assert wrong == []
    assert note == (
        "1 of 1 sources, such as app.py, have no bytecode: Lambda compiles them at each start"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="this machine's modules are not ELF")
def test_a_zip_with_a_module_for_another_python_is_refused(tmp_path: Path) -> None:
    (module, *_) = (Path(__import__("msgspec").__file__ or "").parent).glob("*.so")
    made = tmp_path / "function.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.write(module, f"msgspec/{module.name}")
    other = next(python for python in MAGIC_NUMBERS if python != HERE.python)
    version = "{}.{}".format(*other)

    (sentence,), _ = check_zip(made, parse_target(version, "x86_64", "managed"))

    assert f"was built for Python {HERE.python_version}, and the function runs on {version}" in (
        sentence
    )
    (sentence,), _ = check_zip(made, parse_target(HERE.python_version, "arm64", "managed"))
    assert "was built for x86_64, and the function runs on aarch64" in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [(manifest("1", parse_target("3.12", "arm64", "managed"), "", ""), True),
     (manifest("1", HERE, "", ""), False)],
    ids=["another target", "this target"],
)  # fmt: skip
def test_a_check_says_which_target_a_package_was_built_for(
    text: str, said: bool, tmp_path: Path
) -> None:
    made = tmp_path / "function.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("lib/okibi-package.json", text)

    _, notes = check_zip(made, HERE)

    sentence = "built for another target: check it with --python 3.12 --arch arm64"
    assert notes == ([sentence] if said else [])


def damaged_zip() -> bytes:
    """A zip with a deflated file that cannot be inflated."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("app.py", bytes(range(256)) * 20)
    return file.getvalue().replace(file.getvalue()[36:40], b"\xff" * 4, 1)


# -- what the directory of a zip says


def write_entry(made: Path, name: str, content: bytes = b"", mode: int = 0o100644) -> Path:
    """A zip with one file."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr(entry, content)
    return made


@pytest.mark.parametrize(
    ("name", "mode", "fault"),
    [("../app.py", 0o100644, OUTSIDE), ("a/../../app.py", 0o100644, OUTSIDE),
     ("/etc/passwd", 0o100644, OUTSIDE), ("../out/", 0o40755, OUTSIDE),
     ("app.py", 0o120777, LINK)],
)  # fmt: skip
def test_names_that_lead_out_and_links_are_refused(
    name: str, mode: int, fault: str, tmp_path: Path
) -> None:
    made = write_entry(tmp_path / "function.zip", name, b"/etc/passwd", mode)

    assert check_zip(made, HERE) == ([f"{name} {fault}"], [])


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    made = write_entry(tmp_path / "function.zip", "app.py", b"x = 1")
    with zipfile.ZipFile(made, "a") as opened, pytest.warns(UserWarning, match="Duplicate name"):
        opened.writestr("app.py", b"x = 2")

    assert check_zip(made, HERE) == ([f"app.py {TWICE}"], [])


def test_another_compression_than_lambda_s_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "function.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("app.py", b"x = 1")

    assert check_zip(made, HERE) == ([f"app.py {COMPRESSION}"], [])


def test_a_zip_that_states_too_much_is_refused_unread(tmp_path: Path) -> None:
    made = write_entry(tmp_path / "function.zip", "numpy/core.so", b"x")
    content = made.read_bytes()
    directory = content.index(b"PK\x01\x02")
    stated = (300 * 2**20).to_bytes(4, "little")
    made.write_bytes(content[: directory + 24] + stated + content[directory + 28 :])

    (sentence,), _ = check_zip(made, HERE)

    assert sentence.startswith("the package has 300.0 MB unzipped, and Lambda allows 250.0 MB")
    assert "the largest parts are numpy (300.0 MB):" in sentence


def test_a_file_that_inflates_to_more_than_it_states_is_not_inflated(tmp_path: Path) -> None:
    made = tmp_path / "function.zip"
    real = 64 * 2**20
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("app.py", b"\0" * real)
    content = bytearray(made.read_bytes())
    for place in (22, content.index(b"PK\x01\x02") + 24):
        content[place : place + 4] = (100).to_bytes(4, "little")
    made.write_bytes(content)

    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="not a zip that Lambda can unpack"):
            check_zip(made, HERE)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < real / 8


def test_a_date_that_no_calendar_has_is_read(tmp_path: Path) -> None:
    made = write_entry(tmp_path / "function.zip", "app.py", b"x = 1")
    content = bytearray(made.read_bytes())
    for place in (10, content.index(b"PK\x01\x02") + 12):
        content[place : place + 4] = bytes(4)
    made.write_bytes(content)

    assert check_zip(made, HERE)[0] == []


# -- what okibi package has written


def build(folder: Path, layout: str = "managed") -> Path:
    """A small package as okibi writes it, with a start image that nothing imports."""
    target = attrs.evolve(HERE, format=layout)
    (folder / "lib").mkdir(parents=True)
    (folder / "app.py").write_text("x = 1\n")
    py_compile.compile(str(folder / "app.py"), invalidation_mode=HASH)
    (folder / "bootstrap").write_text("#!/bin/sh\n")
    (folder / "lib" / IMAGE).write_bytes(b"image")
    described = manifest("1", target, "app.handler", hash_package(folder))
    (folder / "lib" / MANIFEST).write_text(described)
    seal_image(folder / "lib")
    if layout == "layer":
        arrange_layer(Staged(folder, folder / "lib", "", target, None))
    made = folder.with_suffix(".zip")
    write_zip(folder, made)
    return made


def change(made: Path, name: str, change_bytes: Callable[[bytes], bytes | None]) -> None:
    """Write a zip again with one file changed, or without it."""
    with zipfile.ZipFile(made) as opened:
        files = {each: opened.read(each) for each in opened.namelist()}
    with zipfile.ZipFile(made, "w") as opened:
        for each, content in files.items():
            changed = change_bytes(content) if each == name else content
            if changed is not None:
                opened.writestr(each, changed)


@pytest.mark.parametrize("layout", ["managed", "layer"])
def test_a_package_as_okibi_has_written_it_is_good(layout: str, tmp_path: Path) -> None:
    assert check_zip(build(tmp_path / "task", layout), HERE) == ([], [])


def flip_last(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "name", ["bootstrap", "app.py", f"lib/{IMAGE}", importlib.util.cache_from_source("app.py")]
)
def test_a_changed_or_missing_file_of_a_package_is_found(name: str, tmp_path: Path) -> None:
    made = build(tmp_path / "task")
    removed = build(tmp_path / "removed")

    change(made, name, flip_last)
    change(removed, name, lambda _: None)

    assert CHANGED in check_zip(made, HERE)[0]
    assert CHANGED in check_zip(removed, HERE)[0]


def test_a_file_added_to_a_package_or_to_a_layer_is_found(tmp_path: Path) -> None:
    for made in (build(tmp_path / "task"), build(tmp_path / "opt", "layer")):
        with zipfile.ZipFile(made, "a") as opened:
            opened.writestr("python/sitecustomize.json", b"{}")

        assert check_zip(made, HERE)[0] == [CHANGED]


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    made = build(tmp_path / "task")
    change(made, f"lib/{MANIFEST}", lambda _: b"[" * 10_000)

    with pytest.raises(BadInput, match=r"okibi-package.json is damaged"):
        check_zip(made, HERE)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", damaged_zip()])
def test_a_file_that_is_no_zip_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "function.zip").write_bytes(content)

    with pytest.raises(BadInput, match="not a zip that Lambda can unpack"):
        check_zip(tmp_path / "function.zip", HERE)
