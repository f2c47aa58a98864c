"""Write a CycloneDX document of what a package contains, from the metadata of its packages."""

import json
import uuid
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageMetadata

from .package_names import normalize

SPECIFICATION = "1.5"  # as `uv export --format cyclonedx1.5`


def describe_component(metadata: PackageMetadata) -> dict[str, object]:
    """Return the component of an installed package: name, version, address, licence."""
    name, version = normalize(metadata["Name"]), metadata["Version"]
    purl = f"pkg:pypi/{name}@{version}"
    component: dict[str, object] = {
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl
    }  # fmt: skip
    if licences := read_licences(metadata):
        component["licenses"] = licences
    return component


def describe_cpython(version: str) -> dict[str, object]:
    """Return the component of a bundled CPython.

    Args:
        version: as `3.13.1`.
    """
    return {
        "type": "platform", "bom-ref": f"cpython@{version}", "name": "cpython",
        "version": version, "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
        "licenses": [{"expression": "PSF-2.0"}],
    }  # fmt: skip


def read_licences(metadata: PackageMetadata) -> list[dict[str, object]]:
    """Return the licences of a package as CycloneDX has them; empty if it states none.

    An SPDX expression wins. Older packages have a name, or the whole text in place of it, or only
    classifiers.
    """
    if expression := metadata.get_all("License-Expression"):
        return [{"expression": expression[0]}]
    name = (metadata.get_all("License") or [""])[0].strip()
    if name and "\n" not in name and name != "UNKNOWN":
        return [{"license": {"name": name}}]
    classifiers = metadata.get_all("Classifier") or []
    return [
        {"license": {"name": each.rpartition(" :: ")[2]}}
        for each in classifiers
        if each.startswith("License :: ")
    ]


def write_sbom(
    name: str, okibi: str, components: Iterable[Mapping[str, object]], properties: Mapping[str, str]
) -> str:
    """Write the document. The same components give the same bytes: it has no time in it.

    Args:
        name: the name of what contains the components.
        okibi: okibi's version, which writes the document.
        components: the packages.
        properties: facts about the whole, such as its processor.
    """
    listed = sorted(components, key=lambda each: str(each["bom-ref"]))
    content = {
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "okibi", "version": okibi}]
            },
            "component": {"type": "application", "bom-ref": "package", "name": name},
            "properties": [{"name": key, "value": value} for key, value in properties.items()],
        },
        "components": listed,
    }  # fmt: skip
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content))
    head = {
        "bomFormat": "CycloneDX", "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{serial}", "version": 1,
    }  # fmt: skip
    return json.dumps({**head, **content}, indent=2) + "\n"
