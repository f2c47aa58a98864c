"""The table of a package: bytes and import time of each of its parts."""

from collections.abc import Mapping, Sequence

import attrs

from .size_limits import IMAGE as IMAGE_LIMIT
from .size_limits import MB, format_mb, unzipped_limit
from .start_files import IMAGE
from .targets import Target

COLUMNS = ("", "MB unzipped", "MB in the zip", "ms to import")
START_IMAGE = "start image"
# Parts beyond this number are one row.
SHOWN = 24
# Parts that are named when the package is too large.
NAMED = 4


@attrs.frozen
class Part:
    """A part of a package: a distribution, or the user's files.

    Args:
        name: the name in the table.
        unzipped: the bytes of its files, bytecode included.
        zipped: the same in the zip.
        import_time: milliseconds of its imports at a start; None if unknown.
    """

    name: str
    unzipped: int
    zipped: int
    import_time: float | None = None


def make_parts(
    owners: Mapping[str, str],
    unzipped: Mapping[str, int],
    zipped: Mapping[str, int],
    import_times: Mapping[str, float] | None = None,
) -> list[Part]:
    """Add up the files of each part.

    Args:
        owners: the part of each source file; the path of a file of bytecode leads to its source.
        unzipped: the bytes of each file.
        zipped: the same in the zip.
        import_times: milliseconds by top-level module; None without a recording.

    Returns:
        The parts, the largest first.
    """
    sizes: dict[str, list[int]] = {}
    for name, size in unzipped.items():
        part = sizes.setdefault(_owner(name, owners), [0, 0])
        part[0] += size
        part[1] += zipped.get(name, 0)
    times = dict[str, float]()
    for module, time in (import_times or {}).items():
        part_name = _owner_of_module(module, owners)
        times[part_name] = times.get(part_name, 0.0) + time
    known = import_times is not None
    parts = [
        Part(
            name,
            found[0],
            found[1],
            times.get(name, 0.0) if known and name != START_IMAGE else None,
        )
        for name, found in sizes.items()
    ]
    # Modules of the standard library have no files in the package.
    parts += [Part(name, 0, 0, time) for name, time in times.items() if name not in sizes]
    return sorted(parts, key=lambda part: (-part.unzipped, part.name))


def check_sizes(parts: Sequence[Part], target: Target) -> str:
    """Say that a package is larger than Lambda allows, with its largest parts; empty if it is not.

    Args:
        parts: the parts of the package, the largest first.
        target: the Lambda runtime that the package is for.
    """
    unzipped, limit = sum(part.unzipped for part in parts), unzipped_limit(target)
    if unzipped <= limit:
        return ""
    largest = ", ".join(f"{part.name} ({format_mb(part.unzipped)})" for part in parts[:NAMED])
    cure = "exclude files in [tool.okibi.package]"
    if limit < IMAGE_LIMIT:
        cure += f", or use --format image, which may have {format_mb(IMAGE_LIMIT)}"
    return (
        f"the package has {format_mb(unzipped)} unzipped, and Lambda allows {format_mb(limit)}; the"
        f" largest parts are {largest}: {cure}"
    )


def _owner(name: str, owners: Mapping[str, str]) -> str:
    if name == f"lib/{IMAGE}":
        return START_IMAGE
    if name in owners:
        return owners[name]
    folder, cache, file = name.rpartition("__pycache__/")
    if cache:
        return owners.get(f"{folder}{file.partition('.')[0]}.py", "okibi")
    return "okibi"


def _owner_of_module(module: str, owners: Mapping[str, str]) -> str:
    for root in ("", "lib/"):
        for file in (f"{root}{module}/__init__.py", f"{root}{module}.py"):
            if file in owners:
                return owners[file]
    prefixes = (f"{module}/", f"lib/{module}/", f"{module}.", f"lib/{module}.")
    return next((owner for file, owner in owners.items() if file.startswith(prefixes)), "Python")


def render_table(parts: Sequence[Part]) -> str:
    """Render the parts as lines of text, with a sum at the end."""
    shown = [*parts[:SHOWN]]
    if rest := parts[SHOWN:]:
        shown.append(_sum(f"{len(rest)} more", rest))
    shown.append(_sum("all", parts))
    rows = [_cells(part) for part in shown]
    columns = COLUMNS if any(part.import_time is not None for part in parts) else COLUMNS[:3]
    if not any(part.zipped for part in parts):
        columns = (*columns[:2], *columns[3:])
        rows = [(*row[:2], *row[3:]) for row in rows]
    widths = [max(len(row[number]) for row in (columns, *rows)) for number in range(len(columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in (columns, *rows)
    ]
    return "\n".join(lines) + "\n"


def _sum(name: str, parts: Sequence[Part]) -> Part:
    times = [part.import_time for part in parts if part.import_time is not None]
    unzipped, zipped = (sum(part.unzipped for part in parts), sum(part.zipped for part in parts))
    return Part(name, unzipped, zipped, sum(times) if times else None)


def _cells(part: Part) -> tuple[str, ...]:
    time = "" if part.import_time is None else f"{part.import_time:.1f}"
    return part.name, f"{part.unzipped / MB:.2f}", f"{part.zipped / MB:.2f}", time
