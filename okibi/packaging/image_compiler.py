"""Run by a Python of the target's version: compile modules and write the start image.

`python image_compiler.py okibi.image < order` prints the checksum for the manifest, the number
of modules, and the names of files that do not compile. `start_image.write_image` makes the order,
by `marshal`.
Only the standard library is here: this Python may have nothing else.
"""

import ast
import importlib
import importlib.util
import json
import marshal
import re
import sys
import warnings
from array import array
from types import CodeType, SimpleNamespace
from typing import Any, NamedTuple

COMPILER: Any = importlib.import_module("re._compiler")
# Bytes of the modules that a start reads together. glibc asks the system for each larger piece.
GROUP = 96 << 10
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What may have a docstring.
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTIONS)
# Python computes an annotation when it is read.
ARE_LATE = sys.version_info >= (3, 14)


class CompiledModule(NamedTuple):
    """A module for the image.

    Args:
        folder, name: the folder in which the module is found, and the last part of its name.
        is_package: whether the module is a package.
        source_checksum: the source's checksum, if each start compares the source; else b"".
        code: the module's code (`marshal`).
        is_grouped: whether a start reads it together with others.
    """

    folder: str
    name: str
    is_package: bool
    source_checksum: bytes
    code: bytes
    is_grouped: bool


def dump(code: CodeType) -> bytes:
    """Return code as bytes, the same for the same code.

    `marshal` marks objects with more than one reference, and a compiler leaves different
    references from run to run. Code that was read has always the same.
    """
    return marshal.dumps(marshal.loads(marshal.dumps(code)))


def dump_group(codes: list[bytes]) -> bytes:
    """Return the codes of modules as one tuple, in which they share their names."""
    return marshal.dumps(marshal.loads(marshal.dumps(tuple(map(marshal.loads, codes)))))


def shorten(source: bytes) -> ast.Module:
    """Return the syntax tree of a source without docstrings, with texts as annotations.

    Docstrings are a quarter of the bytecode. The annotations of classes stay, for attrs.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
        if isinstance(node, ast.arg):
            node.annotation = as_text(node.annotation)
        elif isinstance(node, FUNCTIONS):
            node.returns = as_text(node.returns)
    return tree


def as_text(annotation: ast.expr | None) -> ast.expr | None:
    """Return an annotation as its text, as `from __future__ import annotations` does."""
    if ARE_LATE or annotation is None or isinstance(annotation, ast.Constant | ast.Starred):
        return annotation
    return ast.copy_location(ast.Constant(ast.unparse(annotation)), annotation)


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


def compile_patterns(patterns: list[tuple[str | bytes, int]]) -> dict[Any, Any]:
    """Return the programs of patterns, by pattern and flags.

    A pattern that this Python refuses, or warns of, is left out: `re` then refuses or warns at each
    start.

    Args:
        patterns: each pattern, and its flags.
    """
    matcher: Any = COMPILER._sre
    found, programs = list[Any](), dict[Any, Any]()

    # The compiler hands the program to the matcher in this call.
    def keep(*told: Any) -> None:
        found.append(told)

    # The cache would answer for patterns that this Python has compiled.
    re.purge()
    COMPILER._sre = SimpleNamespace(**{**vars(matcher), "compile": keep})
    try:
        with warnings.catch_warnings(action="error"):
            for pattern, flags in patterns:
                try:
                    re.compile(pattern, flags)
                except Exception:
                    continue
                _, all_flags, words, groups, names, indexes = found.pop()
                words = array("I", words).tobytes()
                programs[pattern, flags] = (all_flags, groups, dict(names), tuple(indexes), words)
    finally:
        COMPILER._sre = matcher
        re.purge()
    return programs


def compile_recipes(recorded: list[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the recipes of classes, with the code of their texts, by module and class.

    Args:
        recorded: the module, the qualified name, and the parts of each recipe.
    """
    found: dict[str, dict[str, Any]] = {}
    for module, name, (texts, *parts) in recorded:
        scripts: list[Any] = [
            (compile(text, filename, "exec", flags, dont_inherit=True), *seen)
            for text, filename, flags, *seen in texts
        ]
        found.setdefault(module, {})[name] = (tuple(scripts), *parts)
    return found


def compile_modules(order: dict[str, Any]) -> tuple[list[CompiledModule], list[str]]:
    """Compile the modules of an order.

    Args:
        order: the order.

    Returns:
        The modules, and the files that do not compile.
    """
    source_hash = importlib.util.source_hash
    modules: list[CompiledModule] = []
    failed: list[str] = []
    for folder, name, file, is_checked, is_grouped in order["modules"]:
        with open(f"{order['folder']}/{file}", "rb") as opened:
            source = opened.read()
        is_short = is_grouped and file.startswith(tuple(order["shortened"]))
        try:
            code = b"" if is_short else read_compiled(opened.name, source)
            text: Any = shorten(source) if is_short else source
            code = code or dump(
                compile(text, f"{order['root']}/{file}", "exec", dont_inherit=True, optimize=0)
            )
        except (SyntaxError, ValueError, RecursionError):
            failed.append(file)
            continue
        checksum = source_hash(source) if is_checked else b""
        is_package = file.endswith("/__init__.py")
        modules.append(CompiledModule(folder, name, is_package, checksum, code, is_grouped))
    return modules, failed


def make_groups(modules: list[CompiledModule]) -> list[list[CompiledModule]]:
    """Return the modules in the groups in which a start reads them."""
    groups: list[list[CompiledModule]] = []
    group: list[CompiledModule] = []
    size = 0
    for module in modules:
        if not module.is_grouped:
            groups.append([module])
            continue
        if group and size + len(module.code) > GROUP:
            groups.append(group)
            group, size = [], 0
        group.append(module)
        size += len(module.code)
    return [*groups, group] if group else groups


def build(order: dict[str, Any]) -> tuple[bytes, bytes, list[str]]:
    """Build an image.

    Args:
        order: the order.

    Returns:
        The image up to the code, the code, and the files that do not compile.
    """
    root = order["root"]
    source_hash = importlib.util.source_hash
    modules, failed = compile_modules(order)
    codes: list[bytes] = []
    folders: dict[str, dict[str, Any]] = {}
    offset = 0
    for group in make_groups(modules):
        data = dump_group([module.code for module in group])
        checksum = source_hash(data)
        for place, module in enumerate(group):
            entry = (
                module.is_package, offset, len(data), checksum, module.source_checksum, place,
            )  # fmt: skip
            folders.setdefault(module.folder, {})[module.name] = entry
        codes.append(data)
        offset += len(data)
    texts: list[tuple[str, str, int]] = order["attrs"]
    attrs = {
        filename: compile(text, filename, "exec", flags, dont_inherit=True)
        for filename, text, flags in texts
    }
    expressions = {
        # `eval` ignores leading spaces.
        source: compile(source.lstrip(" \t"), "<string>", "eval", dont_inherit=True)
        for source in order["expressions"]
    }
    version: Any = (COMPILER._sre.MAGIC, COMPILER._sre.CODESIZE)
    parts: dict[str, Any] = {
        "root": root,
        "folders": folders,
        "library": tuple(order["library"]),
        "attrs": attrs,
        "recipes": compile_recipes(order["recipes"]),
        "expressions": expressions,
        "patterns": (version, compile_patterns(order["patterns"])),
    }
    index = marshal.dumps(marshal.loads(marshal.dumps(parts)))
    tag, magic = sys.implementation.cache_tag, importlib.util.MAGIC_NUMBER.hex()
    line = f"{order['format']} {tag} {magic} {order['machine']} {order['package']}\n".encode()
    head = line + len(index).to_bytes(8, "little") + index
    return head, b"".join(codes), failed


def main() -> None:
    """Build the image that stdin asks for."""
    order = marshal.load(sys.stdin.buffer)
    head, code, failed = build(order)
    with open(sys.argv[1], "wb") as file:
        file.write(head)
        file.write(code)
    count = len(order["modules"]) - len(failed)
    checksum = importlib.util.source_hash(head).hex()
    print(json.dumps({"checksum": checksum, "modules": count, "failed": failed}))


if __name__ == "__main__":
    main()
