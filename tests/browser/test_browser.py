"""A page in headless Chromium that a function serves, and pages of other origins."""

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from okibi.dev.dev_function import Cors, DevFunction, FunctionUrl, Route
from okibi.local import FunctionSettings
from tests.support.dev_server_thread import serve_in_thread

FUNCTIONS = Path(__file__).parents[1] / "support" / "functions"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of its own; the test fails if the page reports an error."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A function that serves a page, alone: its URL is at the root."""
    settings = FunctionSettings("web_page.handler", task_root=FUNCTIONS, timeout=60.0)
    with serve_in_thread([DevFunction(settings, url=FunctionUrl(streaming=True))]) as url:
        yield url


@contextmanager
def serve_blank_page() -> Iterator[str]:
    """Serve an empty page from another origin, as the development server of a front end."""

    class Blank(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b'<!doctype html><link rel="icon" href="data:,">')

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_page_calls_its_api_by_fetch_and_gets_a_cookie(page: Any, url: str) -> None:
    page.goto(url)
    page.evaluate("visit('bob')")

    assert page.text_content("#message") == "201 hello bob visitor=bob"


def test_a_page_works_below_the_path_of_a_function_url(page: Any, url: str) -> None:
    page.goto(f"{url}/lambda-url/function/")
    page.evaluate("visit('ann')")

    assert page.text_content("#message") == "201 hello ann visitor=ann"


def test_a_file_is_uploaded_byte_for_byte(page: Any, url: str, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    file = tmp_path / "file.bin"
    file.write_bytes(data)
    page.goto(url)
    page.set_input_files("#file", str(file))
    page.wait_for_function("document.getElementById('upload').textContent")

    digest = hashlib.sha256(data).hexdigest()
    assert page.text_content("#upload") == f"{len(data)} {digest}"


def test_a_page_has_the_first_piece_before_the_second(page: Any, url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    page.goto(url)
    page.evaluate("gate => { read(gate); }", str(gate))
    page.wait_for_function("document.getElementById('stream').textContent === 'first '")
    gate.touch()
    page.wait_for_function("document.getElementById('stream').textContent === 'first second.'")


def test_an_event_source_receives_server_sent_events(page: Any, url: str) -> None:
    page.goto(url)
    page.evaluate("listen()")
    page.wait_for_function("document.getElementById('events').textContent === '012.'")


CALL = """async address => {
  try {
    const response = await fetch(address, {
      method: "PUT", headers: { "content-type": "application/json" }, body: "{}"
    });
    return response.status;
  } catch (error) {
    return error.name;
  }
}"""


def test_a_front_end_of_another_origin_needs_cors(page: Any) -> None:
    settings = FunctionSettings("web.handler", task_root=FUNCTIONS, timeout=60.0)
    with serve_blank_page() as origin:
        cors = Cors(allow_origins=[origin], allow_methods=["PUT"], allow_headers=["content-type"])
        function = DevFunction(
            settings,
            url=FunctionUrl(cors=cors),
            routes=[Route("ANY", "/open", cors=cors), Route("ANY", "/closed")],
        )
        with serve_in_thread([function]) as url:
            page.goto(origin)
            answers = {
                path: page.evaluate(CALL, url + path)
                for path in ("/open", "/lambda-url/function/", "/closed")
            }

    assert answers == {"/open": 200, "/lambda-url/function/": 200, "/closed": "TypeError"}
