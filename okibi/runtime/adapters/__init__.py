"""Adapters: what serves an event with something else than a handler, such as a web application."""
