"""Find the code of a template's function: a folder, a local zip, or a text in the template."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .template_file import as_mapping

CFN_RESPONSE = Path(__file__).with_name("cfnresponse.py")


def find_code(
    base: Path, code: object, metadata: Mapping[str, Any], handler: str, unpacked: Path
) -> tuple[Path, str]:
    """Find the folder with a function's code, or make it.

    Args:
        base: the template's folder; paths are relative to it.
        code: CodeUri (SAM) or Code (CloudFormation), resolved; inline code as `{"ZipFile": text}`.
        metadata: the resource's metadata. The CDK writes the path of the code there.
        handler: `module.name`. A package in a bucket or a zip is served from the template's
            folder, if the handler's module is there: a saved file is live then.
        unpacked: the folder to make for inline code, or for the content of a zip.

    Returns:
        The folder, and a note if it is not the one that the template names; else an empty text.

    Raises:
        ValueError: there is no folder with the code.
    """
    if "ZipFile" in (own := as_mapping(code)):
        return _write_inline(own["ZipFile"], unpacked), ""
    if isinstance(asset := metadata.get("aws:asset:path"), str):
        code = asset
    package = None
    if isinstance(code, str) and not code.startswith("s3://"):
        package = base / code
        if package.is_dir():
            return package, ""
        if package.is_file() and package.suffix == ".py":
            # The package that SAM makes of one file.
            return package.parent, ""
        if package.suffix not in (".zip", ".jar"):
            raise ValueError(f"there is no folder {code}")
    if has_module(base, handler):
        return base, "served from the template's folder, not from the package"
    if package is None or not package.is_file():
        raise ValueError("its code is in a package, and not in the template's folder")
    _unpack(package, unpacked)
    return unpacked, f"unpacked once; start okibi dev again for a new {package.name}"


def _write_inline(text: object, folder: Path) -> Path:
    """Write inline code as CloudFormation packages it, beside its module for custom resources.

    Raises:
        ValueError: the code has a value that only AWS knows.
    """
    if not isinstance(text, str):
        raise ValueError("its code is known on AWS only")  # noqa: TRY004, a fact of the template
    folder.mkdir(mode=0o700, parents=True)
    (folder / "index.py").write_text(text, "utf-8")
    shutil.copy(CFN_RESPONSE, folder)
    return folder


def _unpack(package: Path, folder: Path) -> None:
    """Unpack a zip as Lambda does, with the rights of its files.

    Raises:
        ValueError: the file is no zip, or damaged.
    """
    folder.mkdir(mode=0o700, parents=True)
    try:
        with zipfile.ZipFile(package) as archive:
            for member in archive.infolist():
                file = Path(archive.extract(member, folder))
                if (member.external_attr >> 16) & 0o111 and file.is_file():
                    file.chmod(0o700)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise ValueError(f"{package}: {error}") from error


def has_module(folder: Path, handler: str) -> bool:
    """Whether the module of a handler is in a folder."""
    name, _, _ = handler.rpartition(".")
    module = folder.joinpath(*name.replace(".", "/").split("/"))
    return bool(name) and (
        module.with_suffix(".py").is_file() or (module / "__init__.py").is_file()
    )
