"""The files of a release."""

import pytest

from tests.release.artifacts import (
    complete_sbom,
    find_problems,
    format_table,
    missing_from_sdist,
    parse_artifact,
)

SDIST = "okibi-1.2.0.tar.gz"
PORTABLE = "okibi-1.2.0-py3-none-any.whl"
# As auditwheel names them.
MANYLINUX = "okibi-1.2.0-cp311-abi3-manylinux2014_{0}.manylinux_2_17_{0}.whl"
MUSLLINUX = "okibi-1.2.0-cp311-abi3-musllinux_1_2_{}.whl"
COMPLETE = [
    SDIST,
    PORTABLE,
    *(name.format(arch) for name in (MANYLINUX, MUSLLINUX) for arch in ("x86_64", "aarch64")),
]


def test_a_release_has_an_sdist_a_portable_wheel_and_one_for_each_platform() -> None:
    artifacts = [parse_artifact(name) for name in COMPLETE]

    assert find_problems(artifacts, "1.2.0") == []
    assert sum(artifact.has_encoder for artifact in artifacts) == 4


@pytest.mark.parametrize("number", range(len(COMPLETE)))
def test_each_missing_file_of_a_release_is_named(number: int) -> None:
    artifacts = [parse_artifact(name) for name in COMPLETE[:number] + COMPLETE[number + 1 :]]

    (problem,) = find_problems(artifacts, "1.2.0")

    assert problem.startswith("there must be one ")
    assert problem.endswith(", found 0")


def test_a_wheel_for_a_newer_glibc_than_lambdas_is_missing() -> None:
    newer = [
        name.replace("manylinux2014_x86_64.manylinux_2_17", "manylinux_2_28") for name in COMPLETE
    ]
    both = [name.replace("manylinux2014", "manylinux_2_28") for name in COMPLETE]

    assert find_problems([parse_artifact(name) for name in both], "1.2.0") == []
    assert find_problems([parse_artifact(name) for name in newer], "1.2.0") == [
        "there must be one wheel for manylinux 2.26 on x86_64, found 0"
    ]


def test_a_file_of_another_version_is_no_part_of_a_release() -> None:
    artifacts = [parse_artifact(name) for name in COMPLETE]

    problems = find_problems(artifacts, "1.2.1")

    assert problems[0] == f"{SDIST}: has version 1.2.0, pyproject.toml has 1.2.1"
    assert len(problems) == len(COMPLETE)


def test_a_wheel_for_one_platform_must_contain_the_encoder() -> None:
    assert parse_artifact(COMPLETE[2]).has_encoder
    assert not parse_artifact(PORTABLE).has_encoder
    assert not parse_artifact(SDIST).has_encoder


def test_an_sdist_contains_each_file_in_git_but_the_links_and_ci() -> None:
    tracked = ["actors", "okibi/actors/server.py", ".ci/run", "tests/test_a.py", "Makefile"]

    assert missing_from_sdist(tracked, {"Makefile"}) == [
        "okibi/actors/server.py",
        "tests/test_a.py",
    ]


def test_a_table_is_aligned_under_its_heading() -> None:
    assert format_table([("file", "demo"), ("okibi.whl", "passes")]) == (
        "file       demo\n---------  ------\nokibi.whl  passes"
    )


def test_the_sbom_has_a_licence_for_each_package_and_no_time_of_its_own() -> None:
    exported = {
        "serialNumber": "urn:uuid:5ddbe0ea-f782-45de-9f93-2d30cb1d3bce",
        "metadata": {"timestamp": "2030", "component": {"name": "okibi", "version": "1.2.0"}},
        "components": [{"name": "trio"}],
    }
    later = {**exported, "serialNumber": "urn:uuid:9f93"}
    licences = {"trio": [{"expression": "MIT"}]}

    sbom = complete_sbom(exported, licences, "2026")

    assert sbom["components"] == [{"name": "trio", "licenses": [{"expression": "MIT"}]}]
    assert sbom["metadata"]["timestamp"] == "2026"
    assert sbom["metadata"]["component"]["purl"] == "pkg:pypi/okibi@1.2.0"
    assert complete_sbom(later, licences, "2026") == sbom
