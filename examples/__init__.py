"""Functions to read and run, and the demonstration that serves them."""
