"""Example functions, and a demonstration that serves one of them."""
