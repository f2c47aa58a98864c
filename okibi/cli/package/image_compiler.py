"""Run by a Python of the target's version: compile modules and write the start image.

`python image_compiler.py okibi.image < order.json` prints the checksum for the manifest, the number
of modules, and the names of files that do not compile. The order has what `start_image.ImageOrder`
has. Only the standard library is here: this Python may have nothing else.
"""

import importlib
import importlib.util
import json
import marshal
import sys
from array import array
from types import CodeType, SimpleNamespace
from typing import Any

COMPILER: Any = importlib.import_module("re._compiler")
GROUP = 96 << 10
"""Bytes of the modules that a start reads together. glibc asks the system for each larger piece."""


def dump(code: CodeType) -> bytes:
    """Return code as bytes, the same for the same code.

    `marshal` marks objects with more than one reference, and a compiler leaves different
    references from run to run. Code that was read has always the same.
    """
    return marshal.dumps(marshal.loads(marshal.dumps(code)))


def dump_group(codes: list[bytes]) -> bytes:
    """Return the codes of modules as one tuple, in which they share their names."""
    return marshal.dumps(marshal.loads(marshal.dumps(tuple(map(marshal.loads, codes)))))


def read_compiled(file: str, source: bytes) -> bytes:
    """Return the code of a module's bytecode file, if it is compiled for this source; else b""."""
    try:
        with open(importlib.util.cache_from_source(file, optimization=""), "rb") as opened:
            data = opened.read()
    except OSError:
        return b""
    magic, flags = data[:4], int.from_bytes(data[4:8], "little")
    fits = magic == importlib.util.MAGIC_NUMBER and flags & 1
    return data[16:] if fits and data[8:16] == importlib.util.source_hash(source) else b""


def compile_patterns(patterns: list[tuple[str, bool, int]]) -> dict[Any, Any]:
    """Return the programs of patterns, by pattern and flags.

    Args:
        patterns: text, whether the text is of bytes, flags. A pattern that this Python refuses is
            left out.
    """
    matcher: Any = COMPILER._sre
    found, programs = list[Any](), dict[Any, Any]()

    # The compiler hands the program to the matcher in this call.
    def keep(*told: Any) -> None:
        found.append(told)

    COMPILER._sre = SimpleNamespace(**{**vars(matcher), "compile": keep})
    try:
        for text, is_bytes, flags in patterns:
            pattern = text.encode("latin-1") if is_bytes else text
            try:
                COMPILER.compile(pattern, flags)
            except Exception:
                continue
            _, all_flags, words, groups, names, indexes = found.pop()
            words = array("I", words).tobytes()
            programs[pattern, flags] = (all_flags, groups, dict(names), tuple(indexes), words)
    finally:
        COMPILER._sre = matcher
    return programs


def build(order: dict[str, Any]) -> tuple[bytes, bytes, list[str]]:
    """Build an image.

    Args:
        order: the decoded order.

    Returns:
        The image up to the code, the code, and the files that do not compile.
    """
    root = order["root"]
    source_hash = importlib.util.source_hash
    modules: list[tuple[str, str, bool, bytes]] = []
    groups: list[list[tuple[int, bytes]]] = []
    grouped: list[tuple[int, bytes]] = []
    failed: list[str] = []
    for folder, name, file, is_checked, is_grouped in order["modules"]:
        with open(f"{order['folder']}/{file}", "rb") as opened:
            source = opened.read()
        try:
            code = read_compiled(opened.name, source) or dump(
                compile(source, f"{root}/{file}", "exec", dont_inherit=True, optimize=0)
            )
        except (SyntaxError, ValueError, RecursionError):
            failed.append(file)
            continue
        of_source = source_hash(source) if is_checked else b""
        module = (len(modules), code)
        modules.append((folder, name, file.endswith("/__init__.py"), of_source))
        if not is_grouped:
            groups.append([module])
            continue
        if grouped and sum(len(each) for _, each in grouped) + len(code) > GROUP:
            groups.append(grouped)
            grouped = []
        grouped.append(module)
    if grouped:
        groups.append(grouped)
    codes: list[bytes] = []
    folders: dict[str, dict[str, Any]] = {}
    offset = 0
    for group in groups:
        data = dump_group([code for _, code in group])
        for place, (number, _) in enumerate(group):
            folder, name, is_package, of_source = modules[number]
            entry = (is_package, offset, len(data), source_hash(data), of_source, place)
            folders.setdefault(folder, {})[name] = entry
        codes.append(data)
        offset += len(data)
    texts: list[tuple[str, str, str, int]] = order["attrs"]
    attrs = {
        (source_hash(text.encode()), filename): compile(
            source, filename, "exec", flags, dont_inherit=True
        )
        for text, filename, source, flags in texts
    }
    namedtuples = {
        # `eval` ignores leading spaces.
        source: compile(source.lstrip(" \t"), "<string>", "eval", dont_inherit=True)
        for source in order["namedtuples"]
    }
    version: Any = (COMPILER._sre.MAGIC, COMPILER._sre.CODESIZE)
    parts: dict[str, Any] = {
        "root": root,
        "folders": folders,
        "library": tuple(order["library"]),
        "attrs": attrs,
        "namedtuples": namedtuples,
        "patterns": (version, compile_patterns(order["patterns"])),
    }
    index = marshal.dumps(marshal.loads(marshal.dumps(parts)))
    tag, magic = sys.implementation.cache_tag, importlib.util.MAGIC_NUMBER.hex()
    line = f"{order['format']} {tag} {magic} {order['machine']} {order['package']}\n".encode()
    head = line + len(index).to_bytes(8, "little") + index
    return head, b"".join(codes), failed


def main() -> None:
    """Build the image that stdin asks for."""
    order = json.load(sys.stdin)
    head, code, failed = build(order)
    with open(sys.argv[1], "wb") as file:
        file.write(head)
        file.write(code)
    count = len(order["modules"]) - len(failed)
    checksum = importlib.util.source_hash(head).hex()
    print(json.dumps({"checksum": checksum, "modules": count, "failed": failed}))


if __name__ == "__main__":
    main()
