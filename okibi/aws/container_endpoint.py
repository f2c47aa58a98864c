"""Fetch credentials from the endpoint of the platform (SnapStart, ECS, EKS).

AWS: container credential provider.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import trio

from .connection import Connections, TransportFailed, parse_endpoint
from .credentials import Credentials, NoCredentials

__all__ = ["fetch_credentials", "is_configured"]

FETCH_LIMIT: Final = 5.0
CONTAINER: Final = "http://169.254.170.2"
# Addresses of the platform's own endpoint, which speaks no TLS. Any other host could be a
# stranger's, and would learn the token.
TRUSTED_HOSTS: Final = frozenset({
    "127.0.0.1", "::1", "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23",
})  # fmt: skip
FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
RELATIVE_URI: Final = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
TOKEN_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


def is_configured(variables: Mapping[str, str]) -> bool:
    """Return whether the platform names an endpoint."""
    return bool(variables.get(FULL_URI) or variables.get(RELATIVE_URI))


async def fetch_credentials(variables: Mapping[str, str]) -> Credentials:
    """Return credentials from the endpoint that the variables name.

    Raises:
        NoCredentials: the endpoint is not trusted, or gives none.
    """
    relative = variables.get(RELATIVE_URI)
    url = CONTAINER + relative if relative else variables[FULL_URI]
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    try:
        endpoint = parse_endpoint(f"{scheme}://{authority}")
        if not endpoint.tls and endpoint.host not in TRUSTED_HOSTS:
            raise ValueError("http is for the platform's own addresses; use https")
        token = variables.get(TOKEN, "")
        if variables.get(TOKEN_FILE):
            token = (await trio.Path(variables[TOKEN_FILE]).read_text("utf-8")).strip()
        if not (token + path).isprintable():
            raise ValueError("the path or the authorization token has a line break")
        lines = [f"GET {slash}{path} HTTP/1.1", f"host: {endpoint.authority}", "connection: close"]
        lines += [f"authorization: {token}"] if token else []
        request = "\r\n".join([*lines, "", ""]).encode()
        connections = Connections(endpoint, 1, None)
        with trio.fail_after(FETCH_LIMIT):
            response = await connections.exchange(request, FETCH_LIMIT)
        connections.close_idle()
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}")
        return _parse_credentials(json.loads(response.body))
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        TransportFailed,
        trio.TooSlowError,
    ) as error:
        # The text of the error quotes nothing of the answer, which has the keys.
        why = f"no {error}" if isinstance(error, LookupError) else str(error) or "no answer"
        raise NoCredentials(f"the container endpoint {scheme}://{authority}: {why}") from None


def _parse_credentials(answer: Any) -> Credentials:
    access_key, secret_key, expires = answer["AccessKeyId"], answer["SecretAccessKey"], float("inf")
    if answer.get("Expiration"):
        from datetime import datetime

        expires = datetime.fromisoformat(answer["Expiration"]).timestamp()
    return Credentials(access_key, secret_key, answer.get("Token") or "", expires)
