"""The CycloneDX document of a package, checked against CycloneDX's schema."""

from email.message import Message
from importlib.metadata import PackageMetadata
from typing import cast

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from okibi.packaging.sbom import describe_component, describe_cpython, read_licences, write_sbom


def make_metadata(*headers: tuple[str, str], version: str = "1.0") -> PackageMetadata:
    message = Message()
    for name, value in (("Name", "Ruamel.YAML"), ("Version", version), *headers):
        message[name] = value
    return cast("PackageMetadata", message)


@pytest.mark.parametrize(
    ("headers", "licences"),
    [
        ([("License-Expression", "MIT OR Apache-2.0"), ("License", "see the file")],
         [{"expression": "MIT OR Apache-2.0"}]),
        ([("License", "BSD")], [{"license": {"name": "BSD"}}]),
        ([("License", "MIT License\n\nCopyright (c)"),
          ("Classifier", "License :: OSI Approved :: MIT License")],
         [{"license": {"name": "MIT License"}}]),
        ([("Classifier", "Topic :: Internet")], []),
    ],
    ids=["expression", "name", "text and classifier", "none"],
)  # fmt: skip
def test_a_package_states_its_licence_in_one_of_three_ways(
    headers: list[tuple[str, str]], licences: list[object]
) -> None:
    assert read_licences(make_metadata(*headers)) == licences


def test_the_document_follows_the_schema_and_has_the_same_bytes_in_any_order() -> None:
    components = [
        describe_component(make_metadata(("License-Expression", "MIT"))),
        describe_component(make_metadata(("License", "BSD"), version="2.0")),
        describe_component(make_metadata(version="3.0")),
        describe_cpython("3.13.1"),
    ]
    facts = {"okibi:architecture": "arm64"}

    written = write_sbom("shop", "1.0", components, facts)

    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(written) is None
    assert '"purl": "pkg:pypi/ruamel-yaml@1.0"' in written
    assert write_sbom("shop", "1.0", reversed(components), facts) == written
