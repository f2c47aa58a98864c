"""Logs, and the invocation that a log line belongs to."""
