"""Web applications answer the same under okibi as under uvicorn, up to what a service loses."""

import base64
import json
from collections.abc import Iterable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Any, Literal
from urllib.parse import quote, urlencode

import attrs
import pytest
import trio
from hypothesis import given

from okibi import Function
from okibi.dev.dev_function import DevFunction, FunctionUrl
from okibi.local import FunctionSettings
from okibi.local.services.http_events import (
    IncomingRequest,
    make_http_api_event,
    make_rest_api_event,
)
from okibi.local.services.http_results import OutgoingResponse, PreludeReader
from okibi.testing import running
from okibi.web import ASGI
from tests.support.dev_server import serve_functions
from tests.support.http_services import REQUESTS, SERVICES, WRITTEN, HttpService, is_text
from tests.support.sandbox import FUNCTIONS
from tests.support.uvicorn_server import Answer, ask_uvicorn, send_request, serve_by_uvicorn

Loop = Literal["trio", "asyncio"]

HOST = "api.example"


def request(
    target: str,
    method: str = "GET",
    body: bytes | str = b"",
    *lines: tuple[str, str],
    **headers: str,
) -> IncomingRequest:
    """Make a request; names of headers are written with `_` for `-`."""
    path, _, query = target.partition("?")
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    body = body.encode() if isinstance(body, str) else body
    if body:
        named.append(("content-length", str(len(body))))
    return IncomingRequest(
        method=method,
        raw_path=path,
        raw_query=query,
        headers=[("host", HOST), *named, *lines],
        body=body,
        source_ip="203.0.113.7",
        port=443,
    )


def send_json(target: str, value: object, method: str = "POST") -> IncomingRequest:
    return request(target, method, json.dumps(value), content_type="application/json")


def send_form(target: str, fields: Mapping[str, Any]) -> IncomingRequest:
    form = urlencode(fields, doseq=True)
    return request(target, "POST", form, content_type="application/x-www-form-urlencoded")


def upload(file: bytes, name: str = "a.bin", media_type: str = "image/png") -> IncomingRequest:
    lines = [
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + "grüße".encode(),
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"' % name.encode()
        + b"\r\nContent-Type: %b\r\n\r\n" % media_type.encode() + file,
        b'--b\r\nContent-Disposition: form-data; name="more"; filename="m"\r\n\r\nmore',
        b"--b--\r\n",
    ]  # fmt: skip
    body = b"\r\n".join(lines)
    return request("/upload", "POST", body, content_type="multipart/form-data; boundary=b")


ORIGIN = "https://shop.example"
BASIC = base64.b64encode(b"bob:secret").decode()

FASTAPI_REQUESTS = {
    "hello": request("/"),
    "absent": request("/absent"),
    "wrong method": request("/", "POST"),
    "head": request("/pool", "HEAD"),
    "head refused": request("/", "HEAD"),
    "state of the lifespan": request("/pool"),
    "slash added": request("/notes/?tag=a"),
    "context variables": request("/context?colour=red", x_name="bob"),
    "request": request("/request?b=2&a=1&b=3&c=&d=a+b%20c&%C3%A9=%26", user_agent="test/1.0"),
    "another host": attrs.evolve(request("/request"), headers=[("host", "b.example:8443")]),
    "IPv6 host": attrs.evolve(request("/request"), headers=[("host", "[2001:db8::1]:8443")]),
    "IPv6 client": attrs.evolve(request("/request"), source_ip="2001:db8::7"),
    "repeated keys": request("/notes?tag=a&tag=b%20c&page=2&size=5"),
    "wrong parameter": request("/notes?size=1000&page=x"),
    "router twice": request("/v2/notes?tag=a"),
    "sync route": request("/notes/3?colour=blue", x_name="alice"),
    "path parameter of a wrong type": request("/notes/three"),
    "encoded slash": request("/files/a%2Fb/c%20d%25"),
    "dots and semicolons": request("/files/a;b=c/@x,y:z/(1)!$&'*+~"),
    "two slashes": request("/files//a//b"),
    "non-ASCII": request(f"/names/{quote('zürich 東京')}/long"),
    "a byte that is no UTF-8": request("/names/%FF/long"),
    "value that is not allowed": request("/names/a/wide"),
    "added": send_json("/notes", {"title": "grüße", "tags": ["a"]}),
    "added without a field": send_json("/notes", {"tags": 3}),
    "no JSON": request("/notes", "POST", b"{", content_type="application/json"),
    "replaced": send_json("/notes/1", {"title": "b", "price": 1.5}, "PUT"),
    "changed": send_json("/notes/1", {"title": "b"}, "PATCH"),
    "no content": request("/notes/1", "DELETE"),
    "not modified": request("/not-modified"),
    "empty": request("/empty"),
    "cookies": request("/cookies", cookie="a=1; b=x=y"),
    "two lines of cookies": request(
        "/cookies", "GET", b"", ("cookie", "a=1"), ("cookie", "b=2; c=3")
    ),
    "headers with equal names": request("/lines"),
    "form": send_form("/form", {"name": "a&b é", "ages": [1, 2]}),
    "wrong form": send_form("/form", {"ages": "x"}),
    "text body": request("/body", "POST", "text"),
    "binary body": request("/body", "POST", bytes(range(256)), content_type="image/png"),
    "large body": request("/body", "POST", b"\x00\xfe" * 1_000_000, content_type="image/png"),
    "binary there and back": request("/bytes", "POST", bytes(range(256)), content_type="image/png"),
    "upload": upload(bytes(range(256)) * 4),
    "upload of text": upload(b"text", "grüße.txt", "text/plain"),
    "upload without a file": send_form("/upload", {"note": "a"}),
    "stream": request("/stream"),
    "binary stream in a thread": request("/stream-in-thread"),
    "server-sent events": request("/events"),
    "large": request("/large?size=900000"),
    "compressed": request("/large?size=5000", accept_encoding="gzip"),
    "compressed binary": request("/static/fastapi_features.py", accept_encoding="gzip"),
    "binary": request("/binary"),
    "page": request("/page"),
    "file": request("/file"),
    "part of a file": request("/file", range="bytes=10-19"),
    "static file": request("/static/web_page.html"),
    "static file that is absent": request("/static/absent"),
    "head of a static file": request("/static/web_page.html", "HEAD"),
    "status of the application": request("/teapot"),
    "handled error": request("/refused"),
    "handled error after a dependency": request("/notes/5/refused", "POST"),
    "the dependency saw the error": request("/rolled-back"),
    "unhandled error": request("/broken"),
    "no credentials": request("/secret"),
    "credentials": request("/secret", authorization=f"Basic {BASIC}"),
    "redirect": request("/redirect"),
    "redirect to an own URL": request("/redirect-back"),
    "origin": request("/", origin=ORIGIN),
    "another origin": request("/", origin="https://other.example"),
    "preflight": request("/", "OPTIONS", origin=ORIGIN, access_control_request_method="PUT"),
    "preflight refused": request(
        "/", "OPTIONS", origin=ORIGIN, access_control_request_method="PATCH"
    ),
    "background tasks": request("/mail", "POST"),
    "after background tasks": request("/mailed"),
    "schema": request("/openapi.json"),
    "docs": request("/docs"),
    "sub-application": request("/admin/who", x_name="carol"),
    "schema of the sub-application": request("/admin/openapi.json"),
    "mounted Starlette": request("/inner/page/a%20b"),
    "mount without a slash": request("/inner"),
    "socket by HTTP": request("/socket"),
}  # fmt: skip


def at_stage(make_event: Any, sent: IncomingRequest) -> dict[str, Any]:
    """The event of a URL that has the stage `/Prod`, which API Gateway gives."""
    event: dict[str, Any] = make_event(sent)
    context = event["requestContext"]
    context["stage"] = "Prod"
    if "rawPath" in event:
        event["rawPath"] = f"/Prod{event['rawPath']}"
        context["domainName"] = "abc.execute-api.eu-west-1.amazonaws.com"
    else:
        context["path"] = f"/Prod{event['path']}"
    return event


def read_stream(payload: bytes) -> OutgoingResponse:
    response = PreludeReader().feed(payload)
    assert response is not None
    return response


STREAMED = "function URL that streams"
# Headers that a service adds to each answer.
ADDED = {*WRITTEN, "x-amzn-requestid", "x-amzn-trace-id"}
AT_STAGE = {
    "HTTP API with a stage": attrs.evolve(
        SERVICES["HTTP API"], make_event=partial(at_stage, make_http_api_event)
    ),
    "REST API with a stage": attrs.evolve(
        SERVICES["REST API"], make_event=partial(at_stage, make_rest_api_event)
    ),
}
ALL_SERVICES = {
    **SERVICES,
    **AT_STAGE,
    STREAMED: attrs.evolve(
        SERVICES["function URL"], read=read_stream, content_type="application/octet-stream"
    ),
}


@cache
def find_application(module: str, name: str = "app") -> Any:
    return getattr(import_module(f"tests.support.functions.{module}"), name)


async def ask_okibi(
    application: Any, requests: Mapping[str, IncomingRequest], name: str, loop: Loop
) -> dict[str, Answer]:
    """Return the answer to each request, sent one after the other through a service."""
    service, streams = ALL_SERVICES[name], name == STREAMED
    answers = dict[str, Answer]()
    served = ASGI(application, loop=loop, streams=streams, other=lambda event, context: "done")
    async with running(Function(served), timeout=60) as app:
        for each, sent in requests.items():
            result = await app.invoke(service.make_event(sent))
            response = service.read(result if streams else json.dumps(result).encode())
            headers = [(header.lower(), value) for header, value in response.headers]
            # The service sends no body to HEAD.
            body = b"" if sent.method == "HEAD" else response.body
            answers[each] = Answer(response.status, sorted(headers), body)
        # Django closes files after its answer, and this event begins after that.
        assert await app.invoke("no request") == "done"
    return answers


def differ(expected: Answer, got: Answer, service: HttpService) -> str:
    """Return what differs, besides what the service loses; else an empty text."""
    headers, whole, body = service.received_headers(expected.headers), expected.body, got.body
    if not service.decodes and not is_text(whole):
        body = base64.b64decode(body)
    told = list[str]()
    if got.status != expected.status:
        told.append(f"{expected.status} became {got.status}")
    if got.headers != headers:
        told.append(f"{sorted({*headers} ^ {*got.headers})}")
    if body != whole:
        told.append(f"{whole[:1000]!r} became {body[:1000]!r}")
    return "; ".join(told)


QUICK = [("function URL", "asyncio"), ("load balancer, multi-value headers", "trio")]


def each_way(services: Iterable[str]) -> pytest.MarkDecorator:
    """Each service on each loop; all but one service a loop are slow."""
    return pytest.mark.parametrize(
        ("name", "loop"),
        [
            pytest.param(name, loop, marks=[] if (name, loop) in QUICK else [pytest.mark.slow])
            for name in services
            for loop in ("asyncio", "trio")
        ],
    )


@each_way(ALL_SERVICES)
async def test_fastapi_answers_the_same_through_each_service(name: str, loop: Loop) -> None:
    application, service = find_application("fastapi_features"), ALL_SERVICES[name]
    passed_on = {each: service.pass_on(sent) for each, sent in FASTAPI_REQUESTS.items()}
    root_path = "/Prod" if name in AT_STAGE else ""
    expected = ask_uvicorn(application, passed_on, root_path=root_path)

    got = await ask_okibi(application, FASTAPI_REQUESTS, name, loop)

    differences = {each: differ(expected[each], got[each], service) for each in expected}
    assert {each: text for each, text in differences.items() if text} == {}


@pytest.mark.slow
async def test_fastapi_answers_the_same_in_a_sandbox_of_okibi_dev() -> None:
    # The client is this process. okibi dev refuses a path that is no UTF-8.
    refused = {"IPv6 client", "a byte that is no UTF-8"}
    requests = {
        name: attrs.evolve(sent, source_ip="127.0.0.1")
        for name, sent in FASTAPI_REQUESTS.items()
        if name not in refused
    }
    service = SERVICES["function URL"]
    passed_on = {each: service.pass_on(sent) for each, sent in requests.items()}
    expected = ask_uvicorn(find_application("fastapi_features"), passed_on)

    settings = FunctionSettings("fastapi_features.app", task_root=FUNCTIONS, timeout=60)
    function = DevFunction(settings, url=FunctionUrl())
    hosts = ["api.example", "b.example", "2001:db8::1"]
    differences = dict[str, str]()
    async with serve_functions([function], allowed_hosts=hosts) as served:
        for each, sent in requests.items():
            got = await trio.to_thread.run_sync(send_request, served.server.port, sent)
            headers = [(name, value) for name, value in got.headers if name not in ADDED]
            differences[each] = differ(expected[each], attrs.evolve(got, headers=headers), service)

    assert {each: text for each, text in differences.items() if text} == {}


# -- other frameworks

FORM = b"\r\n".join([
    b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n' + "grüße".encode(),
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"',
    b"Content-Type: image/png\r\n\r\n\x00\xff",
    b"--b--\r\n",
])  # fmt: skip
REQUESTS_TO_ANY = {
    "note": request("/notes/a?page=1&page=2&c=d%20e", cookie="a=1; b=2"),
    "encoded": request("/notes/z%C3%BCrich%20%25"),
    "absent": request("/absent"),
    "wrong method": request("/echo"),
    "text": request("/echo", "POST", "grüße", content_type="text/plain"),
    "binary": request("/echo", "POST", bytes(range(256)), content_type="image/png"),
    "empty body": request("/echo", "POST", content_type="text/plain"),
    "upload": request("/upload", "POST", FORM, content_type="multipart/form-data; boundary=b"),
    "redirect with cookies": request("/cookies"),
    "stream": request("/stream"),
    "no content": request("/empty"),
    "unhandled error": request("/fail"),
    "head": request("/stream", "HEAD"),
    "options": request("/stream", "OPTIONS"),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
@pytest.mark.parametrize("name", [name for name in ALL_SERVICES if name not in AT_STAGE])
@pytest.mark.parametrize(
    ("module", "served", "loop"),
    [
        ("web_starlette", "app", "asyncio"),
        ("web_starlette", "app", "trio"),
        ("web_litestar", "app", "asyncio"),
        ("web_litestar", "app", "trio"),
        ("web_quart", "app", "asyncio"),
        ("web_quart", "on_trio", "trio"),
        ("web_django", "by_asgi", "asyncio"),
    ],
)
async def test_each_framework_answers_the_same_through_each_service(
    module: str, served: str, loop: Loop, name: str
) -> None:
    service = ALL_SERVICES[name]
    passed_on = {each: service.pass_on(sent) for each, sent in REQUESTS_TO_ANY.items()}
    # uvicorn cannot serve quart-trio: Quart stands for it.
    by_uvicorn = find_application(module, "app" if served == "on_trio" else served)
    expected = ask_uvicorn(by_uvicorn, passed_on)

    got = await ask_okibi(find_application(module, served), REQUESTS_TO_ANY, name, loop)

    differences = {each: differ(expected[each], got[each], service) for each in expected}
    assert {each: text for each, text in differences.items() if text} == {}


# -- any request


@attrs.define(eq=False)
class Recorder:
    """An application that records the requests that it sees, and answers nothing."""

    seen: list[dict[str, Any]] = attrs.Factory(list[dict[str, Any]])

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        fields = (
            *("method", "path", "raw_path", "query_string", "root_path"),
            *("scheme", "http_version", "client"),
        )
        recorded = {field: scope[field] for field in fields}
        recorded["headers"] = sorted(scope["headers"])
        recorded["body"], more = b"", True
        while more:
            message = await receive()
            recorded["body"] += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append(recorded)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


@each_way(SERVICES)
async def test_an_application_sees_the_request_that_it_sees_under_uvicorn(
    name: str, loop: Loop
) -> None:
    service, recorder, expected = SERVICES[name], Recorder(), Recorder()

    @given(REQUESTS)
    def check(sent: IncomingRequest) -> None:
        send_request(port, service.pass_on(sent))
        trio.from_thread.run(app.invoke, service.make_event(sent))
        assert recorder.seen[-1] == expected.seen[-1]
        assert len(recorder.seen) == len(expected.seen)

    with serve_by_uvicorn(expected, lifespan="off") as port:
        async with running(Function(ASGI(recorder, loop=loop, lifespan="off"))) as app:
            await trio.to_thread.run_sync(check)
