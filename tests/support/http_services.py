"""AWS's HTTP services, as `okibi dev` plays them: what each loses of a request and of an answer."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import attrs
from hypothesis import strategies as st

from okibi.local.services.http_events import (
    IncomingRequest,
    make_function_url_event,
    make_http_api_event,
    make_http_api_event_1,
    make_load_balancer_event,
    make_rest_api_event,
)
from okibi.local.services.http_results import (
    OutgoingResponse,
    read_function_url_result,
    read_http_api_result,
    read_http_api_result_1,
    read_load_balancer_result,
    read_rest_api_result,
)
from okibi.runtime.adapters.http_request import (
    LOAD_BALANCER,
    LOAD_BALANCER_LISTS,
    PAYLOAD_1,
    PAYLOAD_2,
    EventFormat,
)

Values: TypeAlias = Mapping[str, Sequence[str]]
Headers: TypeAlias = Sequence[tuple[str, str]]

# -- what an event keeps of a request


def by_name(pairs: Iterable[tuple[str, str]]) -> Values:
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        values[name].append(value)
    return values


def joined_by_commas(values: Values) -> Values:
    return {name: [",".join(own)] for name, own in values.items()}


def last(values: Values) -> Values:
    return {name: [own[-1]] for name, own in values.items()}


def all_values(values: Values) -> Values:
    return values


def exact(query: str) -> Values:
    return {"": [query]}


def decoded(query: str) -> Values:
    """The parameters without their bytes and without their order across names."""
    return by_name(parse_qsl(query, keep_blank_values=True))


def undecoded(query: str) -> Values:
    """The parameters without their order across names, and without a missing `=`."""
    fields = [field.partition("=") for field in query.split("&") if field]
    return by_name((name, value) for name, _, value in fields)


def same_bytes(body: bytes) -> bytes:
    return body


def only_utf_8(body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode()


# -- what a service keeps of an answer

# The service writes these itself.
WRITTEN = {
    *("connection", "content-length", "date", "keep-alive", "te", "trailer"),
    *("transfer-encoding", "upgrade"),
}
# Function URLs and REST APIs rename these; `connection` and `content-length` never reach them.
REMAPPED = {"content-md5", "date", "server", "www-authenticate"}


def every_line(headers: Headers) -> Headers:
    return headers


def a_line_for_each_name(headers: Headers) -> Headers:
    """Each cookie still has its own line."""
    joined: dict[str, str] = {}
    for name, value in headers:
        if name != "set-cookie":
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return [*joined.items(), *((name, value) for name, value in headers if name == "set-cookie")]


def is_text(body: bytes) -> bool:
    """Whether the body is UTF-8 without NULs."""
    try:
        return "\0" not in body.decode()
    except UnicodeDecodeError:
        return False


# -- the services


@attrs.frozen
class HttpService:
    """A service, and what it loses of a request and of an answer.

    Args:
        make_event: makes the event.
        event_format: the format of the event.
        read: reads the result of the function.
        content_type: the media type of an answer that names none.
        keeps_raw_path: whether the event has the path as sent.
        query: what the event keeps of a query.
        headers: what the event keeps of headers with equal names.
        body: what the event keeps of a body.
        lines: what the answer keeps of headers with equal names.
        remaps: whether the service renames some headers of the answer.
        decodes: whether the client gets the bytes of a body in Base64.
    """

    make_event: Callable[[IncomingRequest], dict[str, Any]]
    event_format: EventFormat
    read: Callable[[bytes], OutgoingResponse]
    content_type: str
    keeps_raw_path: bool = True
    query: Callable[[str], Values] = exact
    headers: Callable[[Values], Values] = all_values
    body: Callable[[bytes], bytes] = same_bytes
    lines: Callable[[Headers], Headers] = every_line
    remaps: bool = False
    decodes: bool = True

    @property
    def is_load_balancer(self) -> bool:
        """Whether the service is a load balancer, which tells nothing of the protocol."""
        return self.event_format in (LOAD_BALANCER, LOAD_BALANCER_LISTS)

    def pass_on(self, request: IncomingRequest) -> IncomingRequest:
        """Return what the event keeps of a request, as a request."""
        sent = by_name(request.forwarded_headers())
        headers = dict(self.headers(sent))
        if cookies := sent.get("cookie"):
            headers["cookie"] = ["; ".join(cookies[-1:] if self.headers is last else cookies)]
        query = request.raw_query
        if self.query is not exact:
            encode = quote_plus if self.query is decoded else str
            query = "&".join(
                f"{encode(name)}={encode(value)}"
                for name, values in self.query(query).items()
                for value in values
            )
        path = request.raw_path
        if not self.keeps_raw_path:
            path = quote(unquote(path), safe="/:@!$&'()*+,;=~")
        return attrs.evolve(
            request,
            raw_path=path,
            raw_query=query,
            headers=[(name, value) for name, values in headers.items() for value in values],
            body=self.body(request.body),
            protocol="HTTP/1.1" if self.is_load_balancer else request.protocol,
        )

    def received_headers(self, headers: Headers) -> list[tuple[str, str]]:
        """Return the headers that the client gets of an answer's, sorted."""
        kept = list[tuple[str, str]]()
        for name, value in self.lines([(name.lower(), value) for name, value in headers]):
            if self.remaps and name in REMAPPED:
                kept.append((f"x-amzn-remapped-{name}", value))
            elif name not in WRITTEN:
                kept.append((name, value))
        if "content-type" not in dict(kept):
            kept.append(("content-type", self.content_type))
        return sorted(kept)


# The losses, as docs/web.md lists them.
SERVICES = {
    "function URL": HttpService(
        lambda request: make_function_url_event(request, "web"),
        PAYLOAD_2,
        read_function_url_result,
        "application/json",
        headers=joined_by_commas,
        lines=a_line_for_each_name,
        remaps=True,
    ),
    "HTTP API": HttpService(
        make_http_api_event,
        PAYLOAD_2,
        read_http_api_result,
        "text/plain; charset=utf-8",
        keeps_raw_path=False,
        headers=joined_by_commas,
        lines=a_line_for_each_name,
    ),
    "HTTP API, format 1.0": HttpService(
        make_http_api_event_1,
        PAYLOAD_1,
        read_http_api_result_1,
        "text/plain; charset=utf-8",
        keeps_raw_path=False,
        query=decoded,
    ),
    "REST API": HttpService(
        make_rest_api_event,
        PAYLOAD_1,
        read_rest_api_result,
        "application/json",
        query=decoded,
        body=only_utf_8,
        remaps=True,
        decodes=False,
    ),
    "REST API, all types binary": HttpService(
        partial(make_rest_api_event, binary_media_types=["*/*"]),
        PAYLOAD_1,
        partial(read_rest_api_result, binary_media_types=["*/*"]),
        "application/json",
        query=decoded,
        remaps=True,
    ),
    "load balancer": HttpService(
        make_load_balancer_event,
        LOAD_BALANCER,
        read_load_balancer_result,
        "application/octet-stream",
        query=lambda query: last(undecoded(query)),
        headers=last,
        lines=a_line_for_each_name,
    ),
    "load balancer, multi-value headers": HttpService(
        partial(make_load_balancer_event, multi_value=True),
        LOAD_BALANCER_LISTS,
        partial(read_load_balancer_result, multi_value=True),
        "application/octet-stream",
        query=undecoded,
    ),
}

# -- any request

ENCODED = st.integers(0, 255).map("%{:02X}".format)
PATHS = st.lists(ENCODED | st.sampled_from("abc/-._~!$&'()*+,;=:@")).map(lambda c: "/" + "".join(c))
QUERIES = st.lists(ENCODED | st.sampled_from("abc&&==+-._~/?;")).map("".join)
VALUES = st.text("ab ,;=\"'é", max_size=6).map(str.strip)
COOKIES = st.lists(st.sampled_from(["a=1", "b=x=y", 'c="d"']), min_size=1).map("; ".join)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["accept", "content-type", "x-one", "x-two", "x-forwarded-for"]), VALUES
    )
    | st.tuples(st.just("cookie"), COOKIES)
    | st.tuples(
        st.just("content-type"),
        st.sampled_from(["application/json", "text/plain; charset=utf-8", "image/png"]),
    )
)
HOSTS = st.sampled_from(["a.example", "a.example:8080", "[2001:db8::1]", "[::1]:9000", "10.0.0.1"])
REQUESTS = st.builds(
    lambda host, headers, **fields: IncomingRequest(headers=[("host", host), *headers], **fields),
    host=HOSTS,
    headers=HEADERS,
    method=st.sampled_from(["GET", "HEAD", "POST", "PATCH", "DELETE"]),
    raw_path=PATHS,
    raw_query=QUERIES,
    body=st.binary() | st.text().map(str.encode),
    source_ip=st.sampled_from(["203.0.113.7", "2001:db8::7"]),
    port=st.integers(1, 65_535),
    protocol=st.sampled_from(["HTTP/1.0", "HTTP/1.1"]),
)
