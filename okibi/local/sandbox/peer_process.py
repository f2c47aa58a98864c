"""Find the process at the other end of a local connection (Linux).

A secret token is impossible: AWS's clients build their URL from `http://`, the variable
AWS_LAMBDA_RUNTIME_API and a path, and give the variable to `http.client` as host and port. The
kernel knows the process instead.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress

from .processes import descendants

_SOCK_DIAG_BY_FAMILY = 20
_NETLINK_SOCK_DIAG = 4
_REQUEST = 1
_ANY = 0xFFFFFFFF
# Length, type, flags, sequence and port of a netlink message; family, protocol and states; ports,
# addresses, interface and cookie of a socket (linux/netlink.h, linux/inet_diag.h).
_HEADER = struct.Struct("=IHHII")
_FILTER = struct.Struct("=BBxxI")
_SOCKET = struct.Struct("!HH4s12x4s12x")
# Offset in a reply: after four bytes, the socket, two queue lengths, a timer and a user id.
_INODE_AT = _HEADER.size + 68

Address = tuple[str, int]


def is_connected_from(leader: int, ours: Address, theirs: Address) -> bool:
    """Return whether a connection comes from a process, from its session or from a descendant.

    True also if the system cannot tell: on other systems, without /proc, without socket
    diagnostics, or if the descriptors of the process are hidden. This keeps other programs away. It
    does not stop an attacker with the same user id, who can read the memory of all these processes
    anyway.

    Args:
        leader: the process; it leads a session.
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
    """Return the inode of the TCP socket with these addresses; 0 if there is none (sock_diag(7)).

    Rejected: /proc/net/tcp, which takes a millisecond and may omit sockets while others change.
    """
    assert sys.platform == "linux"  # the caller checks
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
    """Yield the processes of the leader's session, then its descendants."""
    for name in os.listdir("/proc"):
        with suppress(ValueError, ProcessLookupError):
            if os.getsid(int(name)) == leader:
                yield int(name)
    yield from descendants(leader)


def _holds(pid: int, inode: int) -> bool:
    """Return whether a process has a socket open.

    Raises:
        FileNotFoundError: the process does not exist.
        PermissionError: the descriptors of the process are hidden.
    """
    folder, wanted = f"/proc/{pid}/fd", f"socket:[{inode}]"
    for name in os.listdir(folder):
        # The descriptor may have been closed.
        with suppress(FileNotFoundError):
            if os.readlink(f"{folder}/{name}") == wanted:
                return True
    return False
