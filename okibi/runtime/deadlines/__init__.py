"""The end of a handler at its deadline, and where it stood."""
