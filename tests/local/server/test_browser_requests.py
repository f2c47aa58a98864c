"""Requests of web pages are refused."""

import pytest

from okibi.local.server.browser_requests import browser_refusal, host_refusal

OWN_HOSTS = [
    "localhost",
    "localhost:1",
    "LOCALHOST:9000",
    "app.localhost",
    "127.0.0.1",
    "127.0.0.1:9000",
    "127.8.9.1:9000",
    "[::1]:9000",
    "Docker.internal:9000",
]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:9000",
    "127.0.0.1.evil.example:9000",
    "127.0.0.1:9000.evil.example",
    "localhost.evil.example",
    "xlocalhost:9000",
    "127.0.0.1@evil.example",
    "[::1].evil.example",
    "[::1]evil.example:9000",
    "",
]
FOREIGN_ADDRESSES = ["10.1.2.3:9000", "192.168.0.1", "[2001:db8::1]:9000", "[::2]"]
ALLOWED = frozenset({"docker.internal"})


def refusal_of_host(host: str, *, any_address: bool = False) -> str:
    return host_refusal({b"host": host.encode()}, ALLOWED, any_address=any_address)


def test_only_names_of_this_machine_and_allowed_names_are_served() -> None:
    assert [host for host in OWN_HOSTS if refusal_of_host(host)] == []
    for host in FOREIGN_HOSTS + FOREIGN_ADDRESSES:
        assert repr(host) in refusal_of_host(host)


def test_beyond_loopback_every_address_is_served_and_no_name() -> None:
    for host in FOREIGN_ADDRESSES:
        assert not refusal_of_host(host, any_address=True)
    for host in FOREIGN_HOSTS:
        assert refusal_of_host(host, any_address=True)


def test_a_request_without_host_is_no_browser_s() -> None:
    assert not browser_refusal({}, ())


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"origin", b"http://evil.example"),
        (b"origin", b"null"),
        (b"origin", b"http://localhost:3000"),
        (b"origin", b"https://localhost:9000"),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-site", b"same-site"),
    ],
)
def test_a_page_of_another_site_is_refused(header: bytes, value: bytes) -> None:
    assert browser_refusal({b"host": b"localhost:9000", header: value}, ())


def test_a_page_of_the_server_itself_is_served() -> None:
    headers = {
        b"host": b"localhost:9000",
        b"origin": b"http://localhost:9000",
        b"sec-fetch-site": b"same-origin",
    }
    assert not browser_refusal(headers, ())
