"""The Runtime API's protocol: HTTP bytes, the socket that carries them, and an event's outcome."""
