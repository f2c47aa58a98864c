"""The Runtime API: bytes, sockets, outcomes."""
