"""Open the sockets that the local servers listen on."""

import errno

import trio

LOOPBACK = "127.0.0.1"


async def open_listeners(
    port: int, *, name: str = "port", host: str = LOOPBACK, backlog: int | None = None
) -> list[trio.SocketListener]:
    """Listen on a TCP port.

    Args:
        port: the port; 0 picks a free one.
        name: the option to name in an error.
        host: the address or host name to listen on.
        backlog: connections that may wait to be accepted; None for the system's limit.

    Raises:
        OSError: the port is in use, or the host is no address of this machine.

    Example:
        listeners = await open_listeners(9000, name="--port")
    """
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=backlog)
    except OSError as error:
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise OSError(error.errno, f"{name}: cannot listen on {host}:{port}: {reason}") from error
