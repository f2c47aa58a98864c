"""Refuse HTTP requests that a web page may have sent.

A browser on this machine can reach loopback addresses. Three headers reveal its requests:

* `Host` is the name by which the page knows the server. With DNS rebinding, a page at
  `evil.example` resolves its own name to 127.0.0.1 and counts as same-origin. Only `Host` reveals
  this. The port is ignored, because a forwarded port may differ.
* `Origin` and `Sec-Fetch-Site` reveal a request from another site's page. The browser sends such a
  request even though the page may not read the response.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from functools import lru_cache

# The headers that reveal a web page. A request that has one of them twice is refused: the check
# would see one value, and a proxy or the function the other.
SINGLE_HEADERS = frozenset({b"host", b"origin", b"sec-fetch-site"})

_HOST = re.compile(r"(?:\[([^]]*)]|([^:]*))(?::\d*)?")


def host_refusal(
    headers: Mapping[bytes, bytes], allowed_hosts: Collection[str], *, any_address: bool = False
) -> str:
    """Return why the Host header is refused, or "" if it is allowed.

    Args:
        headers: the request's headers, names in lower case.
        allowed_hosts: host names to allow besides `localhost`, `*.localhost` and loopback
            addresses.
        any_address: also allow every IP address. A page that uses DNS rebinding has a name.
    """
    host = headers.get(b"host")
    # HTTP/1.0 does not require Host, and no browser speaks HTTP/1.0.
    if host is None or _is_here(host) or _name(host) in allowed_hosts:
        return ""
    if any_address and _address(host) is not None:
        return ""
    return (
        f"Host {host.decode('latin-1')!r} is not a name of this machine; call 127.0.0.1 or"
        " localhost, or allow the name (okibi dev --allow-host, or allowed_hosts in Python)"
    )


def browser_refusal(
    headers: Mapping[bytes, bytes], allowed_hosts: Collection[str], *, any_address: bool = False
) -> str:
    """Return why the request is refused as a browser's, or "" if it is allowed.

    Args:
        headers: the request's headers, names in lower case.
        allowed_hosts: host names to allow besides those of this machine (see `host_refusal`).
        any_address: also allow every IP address (see `host_refusal`).
    """
    if why := host_refusal(headers, allowed_hosts, any_address=any_address):
        return why
    origin = headers.get(b"origin")
    if origin is not None and origin != b"http://%b" % headers.get(b"host", b""):
        return f"Origin {origin.decode('latin-1')!r} is refused: web pages may not call this server"
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return "Sec-Fetch-Site is refused: other web sites may not call this server"
    return ""


def _name(host: bytes) -> str:
    """Return the name or address in a Host header, without the port; "" if there is none."""
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    return (found[1] or found[2] or "") if found else ""


@lru_cache(maxsize=64)
def _is_here(host: bytes) -> bool:
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(_name(host))
    except ValueError:
        return None
