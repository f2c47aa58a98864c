"""Which HTTP requests may come from a web page, and are refused.

A browser on this machine reaches its loopback addresses, and shows each page's requests to them:

* `Host` has the name by which the page knows the server. A page at `evil.example` whose name is
  suddenly resolved to 127.0.0.1 (DNS rebinding) counts as one of the server's own, and is told
  apart by this name alone. The port is left out of it, since a forwarded one may differ.
* `Origin` and `Sec-Fetch-Site` show a request from another site's page. It is sent although the
  page may not read the answer.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache

from .http_requests import HttpRequest

__all__ = ["browser_refusal"]


def browser_refusal(request: HttpRequest, allowed_hosts: Collection[str]) -> str:
    """Why a request may come from a web page; "" if it cannot.

    Args:
        request: its headers are complete.
        allowed_hosts: names of this machine besides `localhost`, `*.localhost` and its loopback
            addresses.
    """
    headers = request.headers
    host = headers.get(b"host")
    # HTTP/1.0 needs none, and no browser speaks it.
    if host is not None and not _is_here(host) and _name(host) not in allowed_hosts:
        return (
            f"Host {host.decode('latin-1')!r} is no name of this machine, as in the request of a"
            " web page; call 127.0.0.1 or localhost, or list the name in allowed_hosts"
        )
    origin = headers.get(b"origin")
    if origin is not None and origin != b"http://%b" % (host or b""):
        return f"Origin {origin.decode('latin-1')!r}: no web page may call this server"
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return "Sec-Fetch-Site: no web page of another site may call this server"
    return ""


def _name(host: bytes) -> str:
    """The name or address in a Host header, without its port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


@lru_cache(maxsize=64)
def _is_here(host: bytes) -> bool:
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
