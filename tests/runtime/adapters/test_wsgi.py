"""WSGI: beside apig-wsgi for each shape of event, beside wsgiref's server for real frameworks."""

import importlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.validate import validator

import attrs
import httpx
import pytest
import trio
from apig_wsgi import make_lambda_handler

from okibi.local.services.http_events import (
    IncomingRequest,
    make_function_url_event,
    make_http_api_event,
    make_load_balancer_event,
    make_rest_api_event,
)
from okibi.local.services.http_results import (
    OutgoingResponse,
    read_function_url_result,
    read_http_api_result,
    read_load_balancer_result,
    read_rest_api_result,
)
from okibi.runtime.adapters.failed_status import StatusFailed
from okibi.runtime.adapters.http_request import NoHttpRequest
from okibi.runtime.adapters.wsgi import _VARIABLES
from okibi.runtime.errors.exceptions import DeadlineExceeded
from okibi.supervisors import SpecError
from okibi.web import WSGI
from tests.support.sandbox import Running, deadline_after, running, until_idle

ANY_TYPE = ("*/*",)
SHAPES: dict[str, Callable[[IncomingRequest], dict[str, Any]]] = {
    "function URL": lambda request: make_function_url_event(request, "notes"),
    "HTTP API": make_http_api_event,
    "REST API": partial(make_rest_api_event, binary_media_types=ANY_TYPE),
    "load balancer": make_load_balancer_event,
    "load balancer, multi-value": partial(make_load_balancer_event, multi_value=True),
}
RESULTS: dict[str, Callable[[bytes], OutgoingResponse]] = {
    "function URL": read_function_url_result,
    "HTTP API": read_http_api_result,
    "REST API": lambda payload: read_rest_api_result(payload, "*/*", ANY_TYPE),
    "load balancer": read_load_balancer_result,
    "load balancer, multi-value": partial(read_load_balancer_result, multi_value=True),
}
REQUEST = IncomingRequest(
    "POST",
    "/notes/12",
    "page=2&size=10",
    [
        ("host", "localhost:9000"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("content-length", "12"),
        ("cookie", "a=1; b=2"),
    ],
    body=b'{"size": 10}',
)
# What apig-wsgi's environ has otherwise.
EVERYWHERE = {
    "HTTP",  # apig-wsgi's own, always "on"; servers have `wsgi.url_scheme`
    "HTTP_CONTENT_TYPE",  # PEP 3333 has CONTENT_TYPE only
    "SERVER_NAME",  # with the port in apig-wsgi
    "RAW_URI", "REQUEST_URI",  # of Gunicorn and Werkzeug: the path as sent
    "wsgi.input_terminated",  # of Gunicorn and Werkzeug
    "wsgi.multithread",  # False in apig-wsgi: AWS's client has one event at a time
}  # fmt: skip
DIFFERENCES = {
    # apig-wsgi joins cookies by ";" and, of a function URL, has each twice; browsers use "; ".
    "function URL": {"HTTP_COOKIE", "HTTP_CONTENT_LENGTH"},
    "HTTP API": {"HTTP_COOKIE", "HTTP_CONTENT_LENGTH"},
    "REST API": set[str](),
    "load balancer": {"HTTP_CONTENT_LENGTH"},
    "load balancer, multi-value": {"HTTP_CONTENT_LENGTH"},
}


@attrs.define(eq=False)
class Site:
    """A WSGI application that answers as configured, and keeps its last environ.

    Args:
        pieces: the body.
        status: the status.
        headers: the headers; the body is text without a content type.
    """

    pieces: Iterable[bytes] = (b"hello",)
    status: str = "200 OK"
    headers: list[tuple[str, str]] = attrs.field(factory=lambda: [("Content-Type", "text/plain")])
    environ: dict[str, Any] = attrs.field(factory=dict[str, Any])
    read: bytes = b""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.environ = environ
        self.read = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(self.status, self.headers)
        return self.pieces


def event_of(shape: str, **changes: Any) -> dict[str, Any]:
    # As in JSON, which the event has been.
    event: dict[str, Any] = json.loads(json.dumps(SHAPES[shape](attrs.evolve(REQUEST, **changes))))
    return event


def answer(app: Any, shape: str = "function URL", **changes: Any) -> Any:
    return WSGI(app)(event_of(shape, **changes), None)


def environ_of(shape: str, base_path: str = "", **changes: Any) -> dict[str, Any]:
    site = Site()
    WSGI(site, base_path=base_path)(event_of(shape, **changes), None)
    return site.environ


def responses(app: Any, shape: str, **changes: Any) -> OutgoingResponse:
    """Return the response that the client of a service gets."""
    return RESULTS[shape](json.dumps(answer(app, shape, **changes)).encode())


def _comparable(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers that no server adds or changes; names in lower case, in order."""
    own = ("date", "server", "content-length", "x-amzn-remapped-content-length")
    lower = [(name.lower(), value) for name, value in headers]
    return sorted(each for each in lower if each[0] not in own)


# -- beside apig-wsgi


@pytest.mark.parametrize("shape", SHAPES)
def test_the_environ_is_apig_wsgis_but_for_named_keys(shape: str) -> None:
    site, reference = Site(), Site()
    event = event_of(shape)
    WSGI(validator(site))(event, None)
    make_lambda_handler(reference)(event, None)

    ours, theirs = site.environ, reference.environ
    own_keys = [key for key in (*ours, *theirs) if key.startswith(("aws.", "apig_wsgi."))]
    assert {
        key
        for key in {*ours, *theirs} - {*own_keys, "wsgi.input", "wsgi.errors"}
        if ours.get(key) != theirs.get(key)
    } == EVERYWHERE | DIFFERENCES[shape]
    assert site.read == reference.read == REQUEST.body


@pytest.mark.parametrize(
    ("media_type", "body"),
    [("text/html; charset=utf-8", "é".encode()), ("application/json", b"{}"),
     ("image/png", b"\x89PNG\r\n\xff\x00"), ("text/css", b"")],
)  # fmt: skip
@pytest.mark.parametrize("shape", SHAPES)
def test_the_client_gets_what_apig_wsgi_sends(shape: str, media_type: str, body: bytes) -> None:
    headers = [("Content-Type", media_type), ("X-A", "b"), ("Set-Cookie", "a=1; Path=/")]
    app = Site([body], "201 Created", headers)
    reference = make_lambda_handler(app, binary_support=True)(event_of(shape), None)

    ours = responses(validator(app), shape)
    theirs = RESULTS[shape](json.dumps(reference).encode())

    assert (ours.status, ours.body) == (theirs.status, theirs.body) == (201, body)
    assert _comparable(ours.headers) == _comparable(theirs.headers)


# -- the environ


@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_of_little_is_valid(shape: str) -> None:
    changes = {"method": "GET", "raw_query": "", "headers": [("host", "a.b")], "body": b""}
    site = Site()

    answer(validator(site), shape, **changes)

    assert "CONTENT_LENGTH" not in site.environ
    assert (site.environ["QUERY_STRING"], site.read) == ("", b"")
    assert (site.environ["SERVER_NAME"], site.environ["SERVER_PORT"]) == ("a.b", "9000")
    assert site.environ["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("shape", SHAPES)
def test_path_info_has_the_bytes_of_the_path(shape: str) -> None:
    environ = environ_of(shape, raw_path="/caf%C3%A9/a%2Fb%20c")

    assert environ["PATH_INFO"].encode("latin-1") == "/café/a/b c".encode()
    # An HTTP API has decoded the slash.
    path = "/caf%C3%A9/a/b%20c" if shape == "HTTP API" else "/caf%C3%A9/a%2Fb%20c"
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == f"{path}?page=2&size=10"


def test_path_info_keeps_bytes_that_are_not_utf_8() -> None:
    assert environ_of("function URL", raw_path="/%E9")["PATH_INFO"] == "/\xe9"


@pytest.mark.parametrize("shape", SHAPES)
def test_script_name_is_the_base_path(shape: str) -> None:
    below = environ_of(shape, "/caf\xe9", raw_path="/caf%C3%A9/notes/%C3%A9")
    beside = environ_of(shape, "/shop", raw_path="/shopping")

    assert below["SCRIPT_NAME"] == "/cafÃ©"
    assert below["PATH_INFO"] == "/notes/Ã©"
    # The path of an HTTP API lacks the base path behind a custom domain.
    script_name = "/shop" if shape == "HTTP API" else ""
    assert (beside["SCRIPT_NAME"], beside["PATH_INFO"]) == (script_name, "/shopping")


def test_the_query_string_has_the_bytes_of_the_query() -> None:
    environ = environ_of("load balancer", raw_query="q=é")

    assert environ["QUERY_STRING"].encode("latin-1") == "q=é".encode()


def test_the_client_may_be_unknown() -> None:
    event, site = event_of("load balancer"), Site()
    del event["headers"]["x-forwarded-for"]
    WSGI(validator(site))(event, None)

    assert site.environ["REMOTE_ADDR"] == ""


def test_a_chunked_body_is_read_whole() -> None:
    app = importlib.import_module("tests.support.functions.web_flask").app
    headers = [("host", "a"), ("content-type", "text/plain")]
    event = event_of("function URL", raw_path="/echo", headers=headers)
    event["headers"]["transfer-encoding"] = "chunked"

    assert WSGI(app)(event, None)["body"] == REQUEST.body.decode()


def test_script_name_is_the_stage_of_a_rest_api() -> None:
    event = event_of("REST API")
    event["requestContext"]["path"] = "/Prod/notes/12"
    site = Site()
    WSGI(site)(event, None)

    assert (site.environ["SCRIPT_NAME"], site.environ["PATH_INFO"]) == ("/Prod", "/notes/12")
    assert site.environ["RAW_URI"] == "/Prod/notes/12?page=2&size=10"


def test_header_values_are_bytes_as_pep_3333_has_them() -> None:
    environ = environ_of("REST API", headers=[("host", "a"), ("x-a", "é"), ("x-a", "€")])

    assert environ["HTTP_X_A"].encode("latin-1") == "é,€".encode()


def test_a_header_with_an_underscore_is_left_out() -> None:
    headers = [("host", "a"), ("x_real_ip", "forged"), ("x-real-ip", "1.2.3.4")]

    assert environ_of("HTTP API", headers=headers)["HTTP_X_REAL_IP"] == "1.2.3.4"
    assert environ_of("HTTP API", headers=headers[:2]).keys().isdisjoint({"", "HTTP_X_REAL_IP"})


def test_names_of_headers_do_not_accumulate() -> None:
    headers = [("host", "a"), *((f"x-{number}", "b") for number in range(1000))]

    assert environ_of("HTTP API", headers=headers)["HTTP_X_999"] == "b"
    assert len(_VARIABLES) < 300


def test_event_and_context_are_in_the_environ() -> None:
    site, event, context = Site(), event_of("HTTP API"), object()
    WSGI(site)(event, context)

    assert site.environ["aws.event"] is event
    assert site.environ["aws.context"] is context


# -- the answer


@pytest.mark.parametrize("shape", SHAPES)
def test_each_cookie_reaches_the_client(shape: str) -> None:
    cookies = [("Set-Cookie", f"c{number}={number}; Path=/") for number in range(3)]
    response = responses(Site(headers=[("Content-Type", "text/plain"), *cookies]), shape)

    assert [value for name, value in response.headers if name.lower() == "set-cookie"] == [
        value for _, value in cookies
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_binary_bodies_pass_both_ways(shape: str) -> None:
    body = bytes(range(256)) * 2000
    headers = [("host", "a"), ("content-type", "application/octet-stream")]
    site = Site([body[::2], b"", body[1::2]], headers=[("Content-Type", "image/png")])

    response = responses(validator(site), shape, body=body, headers=headers)

    assert site.read == body
    assert response.body == body[::2] + body[1::2]


def test_a_generator_may_start_the_response() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield b""
        start_response("202 Accepted", [("Content-Type", "text/plain")])
        yield b"late"

    assert (answer(app)["statusCode"], answer(app)["body"]) == (202, "late")


def test_written_pieces_come_before_the_returned_ones() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"a")
        write(b"b")
        return [b"c"]

    assert answer(validator(app))["body"] == "abc"


def test_an_error_may_replace_a_status_that_is_not_sent() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-A", "b")])
        try:
            raise ValueError
        except ValueError as error:
            start_response("503 No", [], (ValueError, error, error.__traceback__))
        return [b"sorry"]

    result = answer(app)
    assert (result["statusCode"], result["headers"], result["body"]) == (503, {}, "sorry")


# -- errors of the application


def fails(environ: Any, start_response: Any) -> list[bytes]:
    raise ValueError("the application failed")


def fails_after_a_piece(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"piece"
    raise ValueError("the application failed")


def fails_to_replace(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"piece"
    error = ValueError("the application failed")
    start_response("503 No", [], (ValueError, error, None))


def starts_twice(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def sends_before_the_start(environ: Any, start_response: Any) -> list[bytes]:
    return [b"piece"]


def starts_after_a_piece(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b"piece"
    start_response("200 OK", [])


def never_starts(environ: Any, start_response: Any) -> list[bytes]:
    return []


def has_no_status(environ: Any, start_response: Any) -> list[bytes]:
    start_response("OK", [])
    return []


@pytest.mark.parametrize(
    ("app", "logged"),
    [
        (fails, "ValueError: the application failed"),
        (fails_after_a_piece, "ValueError: the application failed"),
        (fails_to_replace, "ValueError: the application failed"),
        (starts_twice, "RuntimeError: the application has called start_response already"),
        (sends_before_the_start, "RuntimeError: the application has not called start_response"),
        (starts_after_a_piece, "RuntimeError: the application has not called start_response"),
        (never_starts, "RuntimeError: the application has not called start_response"),
        (has_no_status, "ValueError: invalid literal for int"),
    ],
)
def test_an_error_is_logged_and_answered_500(
    app: Any, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = answer(app)

    assert (result["statusCode"], result["body"]) == (500, "Internal Server Error")
    assert result["headers"] == {"content-type": "text/plain; charset=utf-8"}
    (record,) = caplog.records
    assert record.getMessage() == "POST /notes/12: the application raised"
    assert logged in logging.Formatter().format(record)


class Closed:
    """An iterable that notes its `close`."""

    def __init__(self, error: BaseException | None, close_error: Exception | None = None) -> None:
        self.error = error
        self.close_error = close_error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"piece"
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error


@pytest.mark.parametrize(("error", "status"), [(None, 200), (ValueError(), 500)])
def test_the_iterable_is_closed_once(error: Exception | None, status: int) -> None:
    pieces = Closed(error)

    assert answer(Site(pieces))["statusCode"] == status
    assert pieces.closed == 1


def test_an_error_of_close_is_logged_and_changes_no_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    result = answer(Site(Closed(None, ValueError("not closed"))))

    assert (result["statusCode"], result["body"]) == (200, "piece")
    assert "ValueError: not closed" in caplog.text


def test_a_late_request_ends_with_the_deadlines_error() -> None:
    pieces = Closed(DeadlineExceeded())

    with pytest.raises(DeadlineExceeded):
        answer(Site(pieces))
    assert pieces.closed == 1


@pytest.mark.parametrize(
    ("shape", "limit"), [("HTTP API", "6,291,556"), ("load balancer", "1,048")]
)
def test_an_answer_that_is_too_large_is_named(
    shape: str, limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = answer(Site([b"x" * 7_000_000]), shape)

    assert result["statusCode"] == 500
    assert limit in result["body"]
    assert result["body"] in caplog.text


# -- options


@pytest.mark.parametrize("app", [fails, Site(status="500 Broken"), Site([b"x" * 7_000_000])])
def test_a_status_of_fail_on_fails_the_invocation(app: Any) -> None:
    with pytest.raises(StatusFailed, match=r"^POST /notes/12 was answered 500$"):
        WSGI(app, fail_on={500})(event_of("HTTP API"), None)


def test_another_status_is_answered() -> None:
    app = WSGI(Site(status="404 No"), fail_on={500})

    assert app(event_of("HTTP API"), None)["statusCode"] == 404


def test_an_event_that_is_no_request_never_reaches_the_application() -> None:
    site = Site()

    with pytest.raises(NoHttpRequest, match=r"this event is from aws:sqs: .* other=handler$"):
        WSGI(site)({"Records": [{"eventSource": "aws:sqs"}]}, None)
    assert site.environ == {}


def test_other_handles_what_is_no_request() -> None:
    event, context = {"Records": list[object]()}, object()
    app = WSGI(Site(), other=lambda event, context: (event, context))

    assert app(event, context) == (event, context)
    assert app(event_of("REST API"), context)["statusCode"] == 200


async def asynchronous(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "options", "field", "message"),
    [
        ("app", {}, "app", r"app must be a WSGI application, app\(environ, .*\), got str\[3\]"),
        (asynchronous, {}, "app", r"app must be .*, got an asynchronous one: write ASGI\(app\)"),
        (fails, {"base_path": "shop"}, "base_path", r"base_path must be like '/shop' or .*\[4\]"),
        (
            fails,
            {"base_path": "/shop/"},
            "base_path",
            "base_path must be like '/shop' or empty, .*",
        ),
        (fails, {"base_path": None}, "base_path", "base_path must be .*, got None"),
        (fails, {"fail_on": 500}, "fail_on", "fail_on must be .*, got 500"),
        (fails, {"other": "other"}, "other", r"other must be a function .*, got str\[5\]"),
        (fails, {"other": Closed}, "other", "other must be a function .*, got Closed"),
    ],
)
def test_a_wrong_option_is_refused(
    app: Any, options: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(SpecError, match=f"^{message}$") as refused:
        WSGI(app, **options)

    assert refused.value.field == field


# -- Flask and Django

FRAMEWORKS = ["web_flask", "web_django"]
BOUNDARY = "form"
FORM = (
    b'--form\r\nContent-Disposition: form-data; name="title"\r\n\r\nCaf\xc3\xa9\r\n'
    b'--form\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
    + bytes(range(256)) * 100
    + b"\r\n--form--\r\n"
)
REQUESTS = {
    "note": (
        "GET",
        "/notes/caf%C3%A9%20au%20lait",
        "size=2&size=1&text=a+b",
        {"cookie": "a=1; b=2"},
        b"",
    ),
    "JSON": ("POST", "/echo", "", {"content-type": "application/json"}, '{"a": "é"}'.encode()),
    "bytes": ("POST", "/echo", "", {"content-type": "image/png"}, b"\x89PNG\xff\x00"),
    "upload": ("POST", "/upload", "", {"content-type": "multipart/form-data; boundary=form"}, FORM),
    "cookies": ("GET", "/cookies", "", {}, b""),
    "stream": ("GET", "/stream", "", {}, b""),
    "empty": ("GET", "/empty", "", {}, b""),
    "not found": ("GET", "/nowhere", "", {}, b""),
    "error": ("GET", "/fail", "", {}, b""),
    "wrong method": ("DELETE", "/echo", "", {}, b""),
}


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Any, WSGIServer]]:
    """An application, and wsgiref's server of the application."""
    app = importlib.import_module(f"tests.support.functions.{request.param}").app
    with make_server("127.0.0.1", 0, app, handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield app, server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_framework_answers_as_on_a_server(
    served: tuple[Any, WSGIServer], shape: str, name: str
) -> None:
    app, server = served
    method, path, query, own_headers, body = REQUESTS[name]
    if shape == "load balancer":
        query = query.replace("size=2&", "")  # it sends the last of equal parameters
    host = f"127.0.0.1:{server.server_port}"
    headers = {"host": host, "accept": "*/*", **own_headers}
    url = f"http://{host}{path}" + f"?{query}" * bool(query)
    expected = httpx.request(method, url, headers=headers, content=body)

    received = responses(
        app, shape, method=method, raw_path=path, raw_query=query, headers=[*headers.items()],
        body=body,
    )  # fmt: skip

    assert (received.status, received.body) == (expected.status_code, expected.content)
    assert _comparable(received.headers) == _comparable(expected.headers.multi_items())


async def get(sandbox: Running, path: str, query: str = "") -> dict[str, Any]:
    changes = {"method": "GET", "raw_path": path, "raw_query": query, "body": b""}
    result: dict[str, Any] = await sandbox.ask(event_of("HTTP API", **changes))
    return result


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_framework_serves_one_event_at_a_time(framework: str) -> None:
    async with running(f"{framework}.handler") as sandbox:
        first = await get(sandbox, "/notes/a", "size=1")
        failed = await get(sandbox, "/fail")
        last = await get(sandbox, "/stream")

        assert json.loads(first["body"])["query"] == {"size": ["1"]}
        assert failed["statusCode"] == 500
        assert last["body"] == "line 0\nline 1\nline 2\n"
        assert sandbox.function.starts == 1
        assert sandbox.said("the view failed") > 0


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_framework_serves_16_events_at_once(framework: str) -> None:
    numbers = [f"{number}" for number in range(16)]
    bodies = dict.fromkeys(numbers, "")

    async with running(f"{framework}.handler", max_concurrency=16) as sandbox:
        await until_idle(sandbox.function, 16)

        async def ask(number: str) -> None:
            bodies[number] = (await get(sandbox, "/meet", f"number={number}"))["body"]

        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(ask, number)

    assert bodies == {number: number for number in numbers}


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "slots"), [("web_flask", None), ("web_django", 2)])
async def test_a_late_request_is_answered_504_and_the_process_serves_on(
    framework: str, slots: int | None
) -> None:
    api = deadline_after(6)
    async with running(f"{framework}.handler", api=api, max_concurrency=slots) as sandbox:
        late = await get(sandbox, "/late")
        after = await get(sandbox, "/stream")

        assert late["statusCode"] == 504
        assert sandbox.said(f"{framework}.py") >= 1
        assert after["body"] == "line 0\nline 1\nline 2\n"
        assert sandbox.function.starts == 1
