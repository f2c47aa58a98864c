"""The page on support, against the metadata of what is installed."""

import re
from importlib.metadata import distribution

from packaging.requirements import Requirement

from okibi.packaging.package_names import normalize
from okibi.packaging.sbom import read_licences
from tests.release.tag import ROOT


def required(package: str, extra: str = "") -> set[str]:
    """The packages that a package brings on Python 3.11, directly or indirectly."""
    told = {"extra": extra, "python_version": "3.11", "python_full_version": "3.11.0"}
    needed = set[str]()
    for text in distribution(package).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(told):
            needed |= {normalize(requirement.name), *required(requirement.name)}
    return needed


def test_each_package_that_a_function_has_is_there_with_its_licence() -> None:
    page = (ROOT / "docs" / "support.md").read_text("utf-8").partition("## Licences")[2]
    rows = re.findall(r"^\| (\w+) \| (.+) \| .+ \|$", page, re.M)[1:]

    assert {normalize(name) for name, _ in rows} == required("okibi", "http")
    for name, licence in rows:
        (stated,) = read_licences(distribution(name).metadata)
        assert licence in str(stated), name
