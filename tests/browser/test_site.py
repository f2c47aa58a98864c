"""The documentation in headless Chromium: what `make docs` has built."""

from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = sorted(SITE.rglob("*.html"))

pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not built: make docs")

TOO_WIDE = """selector => [...document.querySelectorAll(selector)]
  .filter(element => element.scrollWidth > element.clientWidth)
  .map(element => element.innerText.slice(0, 200))"""

LOOKS_LIKE_A_LINK = """() => {
  const link = getComputedStyle(document.querySelector(".sig a.reference"));
  return [...document.querySelectorAll(".sig-name, .sig-prename, .highlight span")]
    .filter(name => {
      const style = getComputedStyle(name);
      return style.color === link.color || style.textDecorationLine.includes("underline");
    })
    .map(name => name.innerText);
}"""


def open_window(browser: Any, width: int, scheme: str = "light") -> Any:
    return browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)


@pytest.mark.parametrize(
    ("width", "selector"),
    [(1400, "html, .content, pre, .table-wrapper"), (1024, "html"), (390, "html, .content")],
)
def test_nothing_on_a_page_is_cut(browser: Any, width: int, selector: str) -> None:
    with open_window(browser, width) as window:
        cut = dict[str, list[str]]()
        for page in PAGES:
            window.goto(page.as_uri())
            cut[str(page.relative_to(SITE))] = window.evaluate(TOO_WIDE, selector)

    assert {page: texts for page, texts in cut.items() if texts} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_name_in_a_signature_does_not_look_like_a_link(browser: Any, scheme: str) -> None:
    with open_window(browser, 1400, scheme) as window:
        window.goto((SITE / "api" / "actors" / "servers.html").as_uri())

        assert window.evaluate(LOOKS_LIKE_A_LINK) == []


def test_the_install_command_is_in_sight_on_the_first_page(browser: Any) -> None:
    with open_window(browser, 1024) as window:
        window.goto((SITE / "index.html").as_uri())
        box = window.locator("pre", has_text="pip install './okibi[cli]'").bounding_box()

    assert box["y"] + box["height"] < 600


def test_no_api_page_is_longer_than_eight_windows(browser: Any) -> None:
    with open_window(browser, 1400) as window:
        for page in (SITE / "api").rglob("*.html"):
            window.goto(page.as_uri())
            assert window.evaluate("document.body.scrollHeight") < 8 * 900, page
