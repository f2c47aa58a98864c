"""Send the registration of okibi's extension, before trio is imported.

The platform answers while trio and the user's code are imported. This module imports no trio;
`serving.extension` reads the response.
"""

from collections.abc import Mapping
from socket import IPPROTO_TCP, TCP_NODELAY, socket

from .runtime_api import register_request, split_address

NAME = b"okibi"
# Seconds to connect; on Lambda, to the same machine.
CONNECT_LIMIT = 0.5


def send_registration(environment: Mapping[str, str]) -> socket | OSError | None:
    """Connect and send the registration, without waiting for the response.

    Args:
        environment: the variables, of which none has been checked yet.

    Returns:
        The connection, or why there is none. None if nothing was tried: the settings turn the
        extension off, or have no valid address.
    """
    api = environment.get("AWS_LAMBDA_RUNTIME_API", "")
    if not api or (environment.get("OKIBI_GRACEFUL_SHUTDOWN") or "1") != "1":
        return None
    try:
        return open_connection(split_address(api), register_request(api.encode(), NAME))
    except OSError as error:
        return error
    except (ValueError, OverflowError):
        # No port, or one above 65535. `read_settings` says so.
        return None


def open_connection(address: tuple[str, int], request: bytes) -> socket:
    """Open a connection and send a request.

    Returns:
        The connection, which no longer blocks.

    Raises:
        OSError: the address does not accept a connection within CONNECT_LIMIT.
    """
    # `create_connection` would look the address up as a name, and import IDNA for it. The class was
    # bound before the user's code could replace `socket.socket`.
    connected = socket()
    try:
        connected.settimeout(CONNECT_LIMIT)
        connected.connect(address)
        connected.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        connected.sendall(request)
        connected.setblocking(False)
    except BaseException:
        connected.close()
        raise
    return connected
