"""Supervision trees of running functions, as text and JSON."""
