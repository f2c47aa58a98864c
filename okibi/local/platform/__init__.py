"""The platform's rules, without I/O: invocations, modes, extensions, limits, log lines."""
