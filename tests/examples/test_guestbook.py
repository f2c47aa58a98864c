"""The Flask example: a form, a template and a session."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from examples.guestbook.app import app as application
from okibi import Function
from okibi.testing import running, sample_event, sandbox, virtual_time
from okibi.web import WSGI

FOLDER = Path(__file__).parents[2] / "examples" / "guestbook"
READ = sample_event("function-url", path="/")
SIGN = sample_event(
    "function-url",
    path="/",
    method="POST",
    headers={"content-type": "application/x-www-form-urlencoded"},
    body=urlencode({"name": "Ada", "text": "Good tea"}),
)


def with_cookies(event: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The event with the cookies that an answer has set, as a browser sends them."""
    return {**event, "cookies": [cookie.partition(";")[0] for cookie in answer["cookies"]]}


@virtual_time
async def test_a_guest_signs_and_is_remembered() -> None:
    async with running(Function(WSGI(application))) as app:
        signed = await app.invoke(SIGN)
        page = await app.invoke(with_cookies(READ, signed))

    assert (signed["statusCode"], signed["headers"]["location"]) == (303, "/")
    assert "<b>Ada</b>: Good tea" in page["body"]
    assert 'value="Ada"' in page["body"]


@pytest.mark.slow
def test_a_real_sandbox_serves_the_unchanged_application() -> None:
    with sandbox("app.app", task_root=FOLDER, timeout=30) as box:
        box.invoke(SIGN)
        page = box.invoke(READ)

    assert "<b>Ada</b>: Good tea" in page["body"]
