"""The page of PyPI, made from README.md."""

import re

from tests.endurance.encoders import hook
from tests.release.tag import ROOT


def test_each_link_of_the_readme_is_absolute_on_pypi() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    page = hook().absolute_links(readme, "https://x.example/blob/v1")

    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", page) == []
    assert "](https://x.example/blob/v1/docs/deploy.md)" in page
