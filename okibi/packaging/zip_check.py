"""Check a zip that another tool may have made, or may have changed.

A zip is not trusted: what its directory says is checked before anything is read, and no file is
read beyond the size that the directory states.
"""

import calendar
import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from ..project.bad_input import BadInput
from ..project.input_files import open_input
from .layouts.layer import place_in_package
from .refusals import Facts, check_binaries, check_bytecode, gather_facts, upload_note
from .size_report import check_sizes, make_parts
from .start_files import IMAGE, MANIFEST, hash_files
from .targets import Target

# What `zipfile` raises for a file that is damaged, encrypted, or no zip.
NOT_A_ZIP = (
    zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError,
)  # fmt: skip
# Where a function and a layer have the manifest.
MANIFESTS = (f"lib/{MANIFEST}", f"okibi/lib/{MANIFEST}")
MOST_OF_MANIFEST = 64 * 1024
LINK = "is a link, which this check does not follow: put the file itself into the zip"
OUTSIDE = "has a name that leads out of the package: rename it"
TWICE = "is in the zip twice: remove one of the two"
COMPRESSION = "is compressed by another method than deflate: zip it again"
CHANGED = (
    "it is not as okibi package has written it: a file was changed, added or removed since; build"
    " it again"
)


def check_zip(file: Path, target: Target) -> tuple[list[str], list[str]]:
    """Check a zip that another tool may have made.

    Args:
        file: the zip.
        target: the Lambda runtime that the zip is for.

    Returns:
        The faults, and the properties that are only slow or unusual; one sentence each.

    Raises:
        BadInput: the file cannot be read, or is not a zip.
    """
    try:
        with open_input(file, str(file)) as source, zipfile.ZipFile(source) as opened:
            if wrong := check_entries(opened.infolist(), target):
                return wrong, []
            return _check_files(opened, target, file.stat().st_size)
    except OSError as error:
        raise BadInput(f"{file}: cannot be read ({error.strerror})") from error
    except NOT_A_ZIP as error:
        raise BadInput(f"{file}: not a zip that Lambda can unpack ({error})") from error


def check_entries(entries: Sequence[zipfile.ZipInfo], target: Target) -> list[str]:
    """Check what the directory of a zip says, before a file is read.

    Returns:
        One sentence for each kind of fault, with the first file of the kind.
    """
    faults = dict[str, list[str]]()
    seen = set[str]()
    for entry in entries:
        for fault in _list_faults(entry):
            faults.setdefault(fault, []).append(entry.filename)
        if entry.filename in seen and not entry.is_dir():
            faults.setdefault(TWICE, []).append(entry.filename)
        seen.add(entry.filename)
    sizes = {entry.filename: entry.file_size for entry in entries}
    top_folders = {name: name.partition("/")[0] for name in sizes}
    wrong = [
        f"{names[0]}{f' (and {len(names) - 1} more)' if names[1:] else ''} {fault}"
        for fault, names in faults.items()
    ]
    too_large = check_sizes(make_parts(top_folders, sizes, {}), target)
    return [*wrong, too_large] if too_large else wrong


def _list_faults(entry: zipfile.ZipInfo) -> Iterable[str]:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts:
        yield OUTSIDE
    if stat.S_ISLNK(entry.external_attr >> 16):
        yield LINK
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield COMPRESSION


def _check_files(opened: zipfile.ZipFile, target: Target, size: int) -> tuple[list[str], list[str]]:
    by_name = {entry.filename: entry for entry in opened.infolist() if not entry.is_dir()}

    def read(name: str) -> bytes:
        with opened.open(by_name[name]) as file:
            return read_whole(file, by_name[name].file_size)

    times = {name: modification_time(entry) for name, entry in by_name.items()}
    facts = gather_facts(times, read)
    wrong = [*check_binaries(facts.binaries, target), *check_bytecode(facts.bytecode, target)]
    notes = [uncompiled_note(facts, target), upload_note(size)]
    if (place := find_manifest(by_name)) is not None:
        manifest = parse_manifest(read(place))
        wrong += check_changes(manifest, place, [*by_name], read)
        notes.insert(0, target_note(manifest, target))
    return wrong, [note for note in notes if note]


def read_whole(file: IO[bytes], size: int) -> bytes:
    """Read a file of a zip, and no more than the size that the directory states.

    `zipfile` inflates without a limit if it is asked for all.

    Raises:
        BadZipFile: the file has another size.
    """
    content = file.read(size)
    # The checksum is compared at the end of the file.
    if len(content) != size or file.read(1):
        raise zipfile.BadZipFile("a file has another size than the directory says")
    return content


# -- the manifest of okibi package


def find_manifest(names: Iterable[str]) -> str | None:
    """Find the manifest of a package that okibi has made; None in the zip of another tool."""
    return next((place for place in MANIFESTS if place in {*names}), None)


def read_manifest(opened: zipfile.ZipFile) -> Mapping[str, object] | None:
    """Read the manifest of a package; None for a zip that okibi has not made.

    Raises:
        zipfile.BadZipFile, ValueError: the zip or the manifest is damaged.
    """
    place = find_manifest(opened.namelist())
    if place is None:
        return None
    entry = opened.getinfo(place)
    if entry.file_size > MOST_OF_MANIFEST:
        raise ValueError(f"{place} is too large")
    with opened.open(entry) as file:
        return parse_manifest(read_whole(file, entry.file_size))


def parse_manifest(text: bytes) -> Mapping[str, object]:
    """Parse a manifest.

    Raises:
        ValueError: the text is none.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"{MANIFEST} is damaged ({error})") from error


def check_changes(
    manifest: Mapping[str, object], place: str, names: Sequence[str], read: Callable[[str], bytes]
) -> list[str]:
    """Check that a package has the files that okibi package has written, and no others.

    This finds damage and later changes. Who changes the manifest too is not found.

    Args:
        manifest: the manifest of the package.
        place: the path of the manifest in the zip.
        names: all files of the zip.
        read: returns a file's content.
    """
    is_layer = place != MANIFESTS[0]
    in_zip = {place_in_package(name) if is_layer else name: name for name in names}
    found = hash_files(in_zip, lambda name: read(in_zip[name]))
    image = in_zip.get(f"lib/{IMAGE}")
    image_hash = "" if image is None else hashlib.sha256(read(image)).hexdigest()
    if (found, image_hash) == (manifest.get("hash"), manifest.get("image_hash", "")):
        return []
    return [CHANGED]


def modification_time(entry: zipfile.ZipInfo) -> int:
    """Return the time that a file has once it is unpacked, in seconds since 1970.

    A zip has local times in steps of two seconds. Info-ZIP adds the exact time (field 0x5455).
    """
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == 0x5455 and size >= 5 and extra[4] & 1:
            return int(struct.unpack_from("<i", extra, 5)[0])
        extra = extra[4 + size :]
    try:
        return calendar.timegm((*entry.date_time, 0, 0, 0))
    except ValueError:
        return 0  # some tools write no date


def target_note(manifest: Mapping[str, object], target: Target) -> str:
    """Say that okibi has built a package for another target; empty if not.

    Args:
        manifest: the manifest of the package.
        target: the target of the check.
    """
    python, architecture = manifest.get("python"), manifest.get("architecture")
    if (python, architecture) == (target.python_version, target.architecture):
        return ""
    return f"built for another target: check it with --python {python} --arch {architecture}"


def uncompiled_note(facts: Facts, target: Target) -> str:
    """Say how many sources have no bytecode for the target; empty if all have."""
    compiled = {each.source for each in facts.bytecode if each.python == target.python}
    missing = [source for source in facts.sources if source not in compiled]
    if not missing:
        return ""
    many = f"{len(missing)} of {len(facts.sources)} sources"
    return f"{many}, such as {missing[0]}, have no bytecode: Lambda compiles them at each start"
