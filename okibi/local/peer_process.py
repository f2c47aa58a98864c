"""Whose process is at the other end of a connection on this machine (Linux).

The Runtime API knows no secret that all of its clients could send: AWS's own joins `http://`, the
variable AWS_LAMBDA_RUNTIME_API and a path, and hands the variable to `http.client` as host and
port, so a token can stand nowhere in it. The kernel knows who has opened a connection.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress

from .processes import descendants

__all__ = ["Address", "is_connected_from"]

_SOCK_DIAG_BY_FAMILY = 20
_NETLINK_SOCK_DIAG = 4
_REQUEST = 1
_ANY = 0xFFFFFFFF
# Lengths, type, flags, sequence and port of a netlink message; family, protocol and states; ports,
# addresses, interface and cookie of a socket (linux/netlink.h, linux/inet_diag.h).
_HEADER = struct.Struct("=IHHII")
_FILTER = struct.Struct("=BBxxI")
_SOCKET = struct.Struct("!HH4s12x4s12x")
_INODE_AT = _HEADER.size + 68
"""Of a reply: behind four bytes, the socket, two numbers of its queues, its timer and its user."""

Address = tuple[str, int]


def is_connected_from(leader: int, ours: Address, theirs: Address) -> bool:
    """Whether a connection comes from a process, from one of its session or from one below it.

    True also where the system cannot tell: elsewhere than on Linux, without /proc, where the kernel
    has no socket diagnostics or hides the process's descriptors. So this keeps other programs from
    a server, and is no wall against an attacker who runs as the same user: that one can read the
    memory of all of them.

    Args:
        leader: the process, which leads a session.
        ours, theirs: the two ends of the accepted connection, IPv4 address and port.
    """
    if sys.platform != "linux" or not os.path.exists("/proc/self"):
        return True
    try:
        if not _inode(ours, theirs):
            return True
        inode = _inode(theirs, ours)
        if _holds(leader, inode):
            return True
    except FileNotFoundError:
        # The process is dead.
        return False
    except OSError:
        return True
    for pid in _session_and_descendants(leader):
        with suppress(OSError):
            if _holds(pid, inode):
                return True
    return False


def _inode(local: Address, remote: Address) -> int:
    """The inode of the TCP socket with these addresses; 0 if the kernel finds none (sock_diag(7)).

    Not from /proc/net/tcp: a millisecond for each connection, and a socket may be left out of it
    while others come and go.
    """
    assert sys.platform == "linux"  # elsewhere nobody asks
    request = (
        _FILTER.pack(socket.AF_INET, socket.IPPROTO_TCP, _ANY)
        + _SOCKET.pack(local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0]))
        + struct.pack("=III", 0, _ANY, _ANY)
    )
    size = _HEADER.size + len(request)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0) + request)
        reply = kernel.recv(4096)
    _, kind, *_ = _HEADER.unpack_from(reply)
    if kind != _SOCK_DIAG_BY_FAMILY:
        return 0
    (inode,) = struct.unpack_from("=I", reply, _INODE_AT)
    return int(inode)


def _session_and_descendants(leader: int) -> Iterator[int]:
    """The processes of its session, and those that it has started."""
    for name in os.listdir("/proc"):
        with suppress(ValueError, ProcessLookupError):
            if os.getsid(int(name)) == leader:
                yield int(name)
    yield from descendants(leader)


def _holds(pid: int, inode: int) -> bool:
    """Whether a process has a socket open; one that is closed has the inode 0.

    Raises:
        FileNotFoundError: there is no such process.
        PermissionError: its descriptors are not to be seen.
    """
    folder, wanted = f"/proc/{pid}/fd", f"socket:[{inode}]"
    for name in os.listdir(folder):
        # It may be closed meanwhile.
        with suppress(FileNotFoundError):
            if os.readlink(f"{folder}/{name}") == wanted:
                return True
    return False
