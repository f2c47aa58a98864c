"""Functions behind HTTP, with real sandboxes and real sockets."""

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from okibi.dev.dev_function import Cors, DevFunction, FunctionUrl, Route
from okibi.local import FunctionSettings
from tests.limits import HANG
from tests.support.dev_server_thread import serve_in_thread

FUNCTIONS = Path(__file__).parents[2] / "support" / "functions"
FRONT_END = "http://localhost:3000"
CORS = Cors(allow_origins=[FRONT_END], allow_methods=["*"], allow_headers=["content-type"])


def web(name: str, handler: str = "web.handler", **fields: Any) -> DevFunction:
    timeout = fields.pop("timeout", 30.0)
    settings = FunctionSettings(handler, name=name, task_root=FUNCTIONS, timeout=timeout)
    return DevFunction(settings, **fields)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server in a thread, with functions that are started once."""
    functions = [
        web(
            "web",
            routes=[
                Route("GET", "/visits/{name}"),
                Route("ANY", "/rest/{proxy+}", "rest-api"),
                Route("PUT", "/pictures/bytes", "rest-api", binary_media_types=["image/*"]),
                Route("ANY", "/alb/*", "alb"),
                Route("ANY", "/old/{proxy+}", payload_format="1.0"),
                Route("ANY", "/open/{proxy+}", cors=CORS),
            ],
            url=FunctionUrl(cors=CORS),
        ),
        web("stream", "web.stream", url=FunctionUrl(streaming=True), concurrency=1),
        web("buffered-stream", "web.stream"),
        web("plain", url=FunctionUrl(streaming=True)),
        web("no-url", url=None, reserved_concurrency=0),
    ]
    with serve_in_thread(functions) as address:
        yield address


def call(address: str, method: str = "GET", **options: Any) -> httpx.Response:
    return httpx.request(method, address, trust_env=False, timeout=HANG, **options)


# -- which function answers


def test_a_route_invokes_its_function_with_the_path_parameters(url: str) -> None:
    event = call(f"{url}/visits/b%C3%B6b").json()

    assert event["routeKey"] == "GET /visits/{name}"
    assert event["pathParameters"] == {"name": "böb"}


def test_a_function_url_is_below_the_functions_name(url: str) -> None:
    event = call(f"{url}/lambda-url/web/a/b?c=d").json()

    assert (event["rawPath"], event["rawQueryString"]) == ("/a/b", "c=d")
    assert event["requestContext"]["apiId"] == "web"
    assert event["headers"]["host"] == urlsplit(url).netloc
    assert call(f"{url}/lambda-url/web").json()["rawPath"] == "/"


def test_what_no_function_serves_is_not_found(url: str) -> None:
    missing = call(f"{url}/nothing")
    unknown = call(f"{url}/lambda-url/no-url/")

    assert (missing.status_code, missing.text) == (404, '{"message":"Not Found"}')
    assert unknown.status_code == 404
    assert unknown.json()["Message"].endswith("served: buffered-stream, plain, stream, web")


def test_a_rest_api_has_the_binary_media_types_of_the_route(url: str) -> None:
    headers = {"content-type": "image/png", "accept": "image/png"}

    answer = call(f"{url}/pictures/bytes", "PUT", content=b"\xfe\xff", headers=headers)

    assert answer.content == b"\xff\xfe"


def test_an_http_api_with_format_1_reads_results_of_that_format(url: str) -> None:
    # A REST API would take this body for text, and format 2.0 the event for a response.
    assert call(f"{url}/old/bytes", "PUT", content=b"\xfe\xff").content == b"\xff\xfe"
    assert call(f"{url}/old/event").status_code == 500


# -- failures


def test_a_failed_function_is_answered_as_each_service_does(url: str) -> None:
    answers = [
        call(f"{url}{path}")
        for path in ("/lambda-url/web/raise", "/open/raise", "/rest/raise", "/alb/raise")
    ]

    assert [(answer.status_code, answer.text[:35]) for answer in answers] == [
        (502, "Internal Server Error"),
        (500, '{"message":"Internal Server Error"}'),
        (502, '{"message": "Internal server error"'),
        (502, "<html>\r\n<head><title>502 Bad Gatewa"),
    ]


# -- bodies and headers


def test_binary_goes_up_and_down_unchanged(url: str) -> None:
    data = os.urandom(3_000_000)
    answer = call(f"{url}/lambda-url/web/bytes", "POST", content=data)

    assert answer.headers["x-sha256"] == hashlib.sha256(data).hexdigest()
    assert answer.content == data[::-1]


def test_a_response_of_6_mb_arrives_whole(url: str) -> None:
    size = 6 * 1024 * 1024 - 100
    answer = call(f"{url}/lambda-url/web/large?size={size}")

    assert (answer.status_code, len(answer.content)) == (200, size)
    assert answer.headers["content-length"] == str(size)


@pytest.mark.parametrize("size", [6 * 1024 * 1024 - 200, 6 * 1024 * 1024 + 1])
def test_an_event_of_more_than_6_mb_is_a_413(url: str, size: int) -> None:
    answer = call(
        f"{url}/lambda-url/web/size",
        "POST",
        content=b"x" * size,
        headers={"content-type": "text/plain"},
    )

    assert answer.status_code == 413
    assert answer.headers["x-amzn-errortype"] == "RequestTooLargeException"


def test_a_text_body_of_nearly_6_mb_is_taken(url: str) -> None:
    size = 6 * 1024 * 1024 - 4096
    headers = {"content-type": "text/plain"}
    answer = call(f"{url}/lambda-url/web/size", "POST", content=b"x" * size, headers=headers)

    assert answer.json() == {"size": size}


def test_head_has_the_headers_of_get_and_no_body(url: str) -> None:
    for path in ("/lambda-url/web/large?size=1000", "/open/large?size=1000"):
        head, get = call(url + path, "HEAD"), call(url + path)

        assert head.content == b""
        volatile = {"date", "x-amzn-requestid", "x-amzn-trace-id", "apigw-requestid"}
        assert {n: v for n, v in head.headers.items() if n not in volatile} == {
            n: v for n, v in get.headers.items() if n not in volatile
        }


def test_each_cookie_has_a_header_of_its_own(url: str) -> None:
    headers = {"cookie": "; ".join(f"k{number}=v" for number in range(50))}
    answer = call(f"{url}/lambda-url/web/cookies", headers=headers)

    assert len(answer.headers.get_list("set-cookie")) == 50
    assert answer.text == ",".join(f"k{number}=v" for number in range(50))


def test_a_response_without_content_has_no_length(url: str) -> None:
    for function in ("web/no-content", "stream/nothing"):
        answer = call(f"{url}/lambda-url/{function}")
        assert (answer.status_code, answer.headers["x-a"]) == (204, "b")
        assert "content-length" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"])
def test_every_method_reaches_the_function(url: str, method: str) -> None:
    event = call(f"{url}/lambda-url/web/", method).json()

    assert event["requestContext"]["http"]["method"] == method


# -- CORS


def test_a_front_end_on_another_port_may_call(url: str) -> None:
    headers = {"origin": FRONT_END, "access-control-request-method": "PUT"}
    for address, status in ((f"{url}/open/x", 204), (f"{url}/lambda-url/web/x", 200)):
        preflight = call(address, "OPTIONS", headers=headers)
        assert (preflight.status_code, preflight.content) == (status, b"")
        assert preflight.headers["access-control-allow-origin"] == FRONT_END
        assert preflight.headers["access-control-allow-methods"] == "*"
        answer = call(address, "PUT", headers={"origin": FRONT_END})
        assert answer.headers["access-control-allow-origin"] == FRONT_END
        assert answer.json()["requestContext"]["http"]["method"] == "PUT"


def test_without_configuration_the_function_answers_itself(url: str) -> None:
    headers = {"origin": "http://evil.example", "access-control-request-method": "GET"}
    own = call(f"{url}/rest/own-cors", "OPTIONS", headers=headers)
    assert own.headers["access-control-allow-origin"] == "*"
    answer = call(f"{url}/visits/bob", headers={"origin": "http://evil.example"})
    assert answer.json()["headers"]["origin"] == "http://evil.example"
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_errors_carry_the_cors_headers_too(url: str) -> None:
    answer = call(f"{url}/open/raise", headers={"origin": FRONT_END})

    assert answer.headers["access-control-allow-origin"] == FRONT_END


# -- streams


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_has_the_first_piece_before_the_second_is_produced(url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    address = f"{url}/lambda-url/stream/gated?gate={gate}"
    with subprocess.Popen(["curl", "-sNi", address], stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        head = [line.strip() for line in iter(curl.stdout.readline, b"\r\n")]
        assert curl.stdout.readline() == b"first\n"
        gate.touch()
        rest = curl.stdout.read()

    assert head[0].startswith(b"HTTP/1.1 201")
    assert {b"content-type: text/plain", b"set-cookie: a=b", b"set-cookie: c=d"} <= {*head}
    assert rest == b"second\n"


def test_a_url_that_buffers_answers_when_the_stream_is_complete(url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    answer = call(f"{url}/lambda-url/buffered-stream/gated?gate={gate}")

    assert answer.status_code == 200
    assert answer.content.endswith(b"\0" * 8 + b"first\nsecond\n")


def test_server_sent_events_arrive(url: str) -> None:
    answer = call(f"{url}/lambda-url/stream/events")

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.count("data: event") == 3


def test_a_stream_without_prelude_has_its_own_media_type(url: str) -> None:
    answer = call(f"{url}/lambda-url/stream/plain")

    assert (answer.status_code, answer.content) == (200, b"\x00\x01")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_a_url_that_streams_sends_a_whole_result_as_json(url: str) -> None:
    answer = call(f"{url}/lambda-url/plain/own-cors")

    assert answer.json()["statusCode"] == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_function_that_fails_before_its_first_piece_is_a_502(url: str) -> None:
    for path in ("plain/raise", "stream/early"):
        answer = call(f"{url}/lambda-url/{path}")
        assert (answer.status_code, answer.text) == (502, "Internal Server Error")


def test_a_stream_that_fails_midway_is_seen_as_incomplete(url: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        call(f"{url}/lambda-url/stream/late")


def test_head_of_a_stream_has_no_body(url: str) -> None:
    answer = call(f"{url}/lambda-url/stream/events", "HEAD")

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.content == b""


def test_a_function_goes_on_when_its_client_leaves(url: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    address = f"{url}/lambda-url/stream/endless?mark={mark}"
    with httpx.stream("GET", address, trust_env=False, timeout=HANG) as response:
        assert next(response.iter_raw())
    # The next event waits for the end of this one.
    assert call(f"{url}/lambda-url/stream/plain").content == b"\x00\x01"
    assert mark.read_text() == "the function went on"


def test_a_client_that_leaves_a_waiting_request_is_forgotten(url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(
            f"{url}/lambda-url/web/gated?gate={gate}",
            timeout=httpx.Timeout(HANG, read=0.05),
            trust_env=False,
        )
    gate.touch()
    assert call(f"{url}/visits/bob").status_code == 200


# -- what is not HTTP


def test_a_websocket_is_refused(url: str) -> None:
    host = urlsplit(url)
    assert host.hostname is not None
    with socket.create_connection((host.hostname, host.port or 0), timeout=HANG) as connection:
        connection.sendall(
            f"GET /lambda-url/web/ HTTP/1.1\r\nHost: {host.netloc}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert connection.recv(1024).startswith(b"HTTP/1.1 403")
