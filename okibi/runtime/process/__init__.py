"""The end of the process, and what it forks."""
