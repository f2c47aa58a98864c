"""Sign requests to AWS (AWS: Signature Version 4). Pure: the caller gives the time.

The signature covers the method, the path, the query, all headers that the caller passes, and the
body. Rejected: botocore's signer, because its import takes longer than the start of okibi.
"""

import hmac
import time
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

from .credentials import Credentials

__all__ = ["encode_query", "sign"]

_UNRESERVED = "-_.~"


def sign(
    credentials: Credentials,
    scope: tuple[str, str],
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    now: float,
) -> None:
    """Add the signature and the headers that it needs to the headers of a request.

    Args:
        credentials: the keys.
        scope: the region and the signing name of the service.
        method: the HTTP method.
        path: the path as sent, percent-encoded once.
        query: the query as sent: the result of `encode_query`, or "".
        headers: the headers to send and sign; the names in lower case. Gains `x-amz-date`,
            `x-amz-security-token` if the keys have a token, and `authorization`.
        body: the body.
        now: seconds since the epoch.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers["x-amz-date"] = stamp
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = sorted(headers)
    signed = ";".join(names)
    lines = "".join([f"{name}:{' '.join(headers[name].split())}\n" for name in names])
    # All services but S3 sign the path with its percent signs encoded once more.
    request = (
        f"{method}\n{quote(path, '/~')}\n{query}\n{lines}\n{signed}\n{sha256(body).hexdigest()}"
    )
    day, (region, service) = stamp[:8], scope
    where = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{where}\n{sha256(request.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, day, region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{where}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )


# The key of a day: four of the six digests of a request.
@lru_cache(32)
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret_key.encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def encode_query(query: dict[str, str]) -> str:
    """Return a query as AWS signs it: sorted, everything but unreserved characters encoded.

    >>> encode_query({"groupName": "a b", "NextToken": "x/y"})
    'NextToken=x%2Fy&groupName=a%20b'
    """
    pairs = sorted(
        (quote(name, _UNRESERVED), quote(text, _UNRESERVED)) for name, text in query.items()
    )
    return "&".join([f"{name}={text}" for name, text in pairs])
