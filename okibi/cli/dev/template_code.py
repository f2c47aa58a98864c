"""Find the folder with a function's code, from the template's CodeUri or Code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["find_code", "has_module"]


def find_code(
    base: Path, code: object, metadata: Mapping[str, Any], handler: str
) -> tuple[Path, str]:
    """Find the folder with a function's code.

    Args:
        base: the template's folder; paths are relative to it.
        code: CodeUri (SAM) or Code (CloudFormation), resolved.
        metadata: of the resource. The CDK writes the path of the code there.
        handler: as in `app.handler`. A package in a bucket or a zip is served from the template's
            folder, if the handler's module is there.

    Returns:
        The folder, and a note if it is not the one that the template names; else an empty text.

    Raises:
        ValueError: there is no folder with the code.
    """
    if isinstance(asset := metadata.get("aws:asset:path"), str):
        code = asset
    if isinstance(code, str) and not code.startswith("s3://"):
        folder = base / code
        if folder.is_dir():
            return folder, ""
        if folder.is_file() and folder.suffix == ".py":
            # The package that SAM makes of one file.
            return folder.parent, ""
        if folder.suffix not in (".zip", ".jar"):
            raise ValueError(f"there is no folder {code}")
    if isinstance(code, dict) and "ZipFile" in code:
        raise ValueError("its code is in the template; write it to a file")
    if not has_module(base, handler):
        raise ValueError("its code is in a package, and not in the template's folder")
    return base, "served from the template's folder, not from the package"


def has_module(folder: Path, handler: str) -> bool:
    """Whether the module of a handler is in a folder."""
    name, _, _ = handler.rpartition(".")
    module = folder.joinpath(*name.replace(".", "/").split("/"))
    return bool(name) and (
        module.with_suffix(".py").is_file() or (module / "__init__.py").is_file()
    )
