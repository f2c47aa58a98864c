"""The clients that the server of `okibi dev` accepts."""

import socket
import sys

import httpx
import pytest
import trio

from tests.support.dev_server import Served, serve_functions

INVOKE = "/2015-03-31/functions/function/invocations"
STREAM = "/2021-11-15/functions/function/response-streaming-invocations"
LIST = "/2015-03-31/functions"
TREE = "/okibi/tree"
URL = "/lambda-url/function/"


async def ask(served: Served, path: str, **headers: str) -> httpx.Response:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    method = "GET" if path in (LIST, TREE) else "POST"
    return await served.http.request(method, served.server.url + path, headers=lines)


async def test_a_foreign_host_is_refused_everywhere() -> None:
    async with serve_functions() as served:
        for path in (INVOKE, STREAM, LIST, TREE, URL, "/", "/2015-03-31/functions/function/policy"):
            refused = await ask(served, path, Host="evil.example")

            assert refused.status_code == 403, path
            assert refused.headers["X-Amzn-ErrorType"] == "AccessDeniedException"
            assert "evil.example" in refused.json()["message"]


async def test_a_further_host_name_can_be_allowed() -> None:
    async with serve_functions(allowed_hosts=["Host.Docker.internal"]) as served:
        allowed = await ask(served, INVOKE, Host="host.docker.internal:9000")
        refused = await ask(served, INVOKE, Host="other.internal")

        assert (allowed.status_code, refused.status_code) == (200, 403)


async def test_web_pages_may_not_call_the_lambda_api() -> None:
    async with serve_functions() as served:
        for path in (INVOKE, STREAM, LIST, TREE):
            for headers in ({"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
                refused = await ask(served, path, **headers)

                assert refused.status_code == 403, (path, headers)
                assert refused.headers["X-Amzn-ErrorType"] == "AccessDeniedException"
        assert served.log.lines == []


async def test_a_preflight_request_to_the_lambda_api_is_refused() -> None:
    async with serve_functions() as served:
        headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
        refused = await served.http.options(served.server.url + INVOKE, headers=headers)

        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers


async def test_a_page_of_the_server_itself_may_call_the_lambda_api() -> None:
    async with serve_functions() as served:
        headers = {"Origin": served.server.url, "Sec_Fetch_Site": "same-origin"}

        assert (await ask(served, INVOKE, **headers)).status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address on Linux only")
async def test_only_loopback_is_served_unless_asked() -> None:
    async with serve_functions() as served:
        assert served.server.url.startswith("http://127.0.0.1:")
        # As a listener on all addresses would be reachable under this one too.
        with pytest.raises(OSError, match="failed"):
            await trio.open_tcp_stream("127.0.0.2", served.server.port)


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address on Linux only")
async def test_beyond_loopback_addresses_are_allowed_and_names_are_not() -> None:
    async with serve_functions(host="0.0.0.0") as served:
        base = f"http://127.0.0.2:{served.server.port}"
        by_address = await served.http.post(base + INVOKE, headers={"Host": "192.168.0.1:9000"})
        by_name = await served.http.post(base + INVOKE, headers={"Host": "evil.example"})
        page = await served.http.post(
            base + INVOKE, headers={"Host": "192.168.0.1:9000", "Origin": "http://evil.example"}
        )

        assert (by_address.status_code, by_name.status_code, page.status_code) == (200, 403, 403)


async def test_an_ipv6_address_can_be_served() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with serve_functions(host="::1") as served:
        assert served.server.url.startswith("http://[::1]:")
        assert (await served.invoke()).status_code == 200
