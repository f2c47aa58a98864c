"""The Runtime API over HTTP/1.1, on trio."""
