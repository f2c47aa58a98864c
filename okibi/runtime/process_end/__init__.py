"""The end of the process, and its forked children."""
