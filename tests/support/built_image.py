"""A package with a start image, built in the test's process."""

import json
import os
from collections.abc import Mapping
from importlib.util import source_hash
from pathlib import Path

import attrs

from okibi.packaging.image_compiler import build
from okibi.runtime.startup.start_image import (
    FORMAT,
    IMAGE,
    MANIFEST,
    StartImage,
)

PACKAGE_HASH = "0123456789abcdef" * 4


@attrs.frozen
class BuiltPackage:
    """A package's folder.

    Args:
        root: the folder that becomes /var/task.
    """

    root: Path

    @property
    def lib(self) -> Path:
        """The folder of okibi and the image."""
        return self.root / "lib"

    @property
    def image(self) -> Path:
        """The image's file."""
        return self.lib / IMAGE

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self.lib / MANIFEST

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, by path below the root."""
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def build(
        self,
        *names: str,
        checked: tuple[str, ...] = (),
        grouped: tuple[str, ...] = (),
        expressions: tuple[str, ...] = (),
        patterns: tuple[tuple[str | bytes, int], ...] = (),
        library: tuple[str, ...] = (),
        machine: str = "",
        short: str = "lib/okibi/",
    ) -> None:
        """Build the image of some of the files.

        Args:
            names: the files.
            checked: the files of which the source is compared.
            grouped: the files that are read together.
            expressions: texts that `namedtuple` or `typing` compiles.
            patterns: each pattern, and its flags.
            library: files of the standard library.
            machine: the processor; "" for this one.
            short: the folder of which the grouped modules have no docstrings.
        """
        modules = list[tuple[str, str, str, bool, bool]]()
        for file in names:
            folder, _, name = file.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")
            modules.append((folder, name, file, file in checked, file in grouped))
        order = {
            "format": FORMAT,
            "machine": machine or os.uname().machine,
            "package": PACKAGE_HASH,
            "folder": str(self.root),
            "root": "/var/task",
            "modules": modules,
            "shortened": [short],
            "library": library,
            "attrs": [],
            "recipes": [],
            "expressions": expressions,
            "patterns": patterns,
        }
        head, code, failed = build(order)
        assert failed == []
        self.lib.mkdir(exist_ok=True)
        self.image.write_bytes(head + code)
        described = {"hash": PACKAGE_HASH, "start_image": source_hash(head).hex()}
        self.manifest.write_text(json.dumps(described))

    def open(self) -> StartImage:
        """Open the image."""
        return StartImage(str(self.lib))
