"""Logs, and the invocation that a log record belongs to."""
