"""Load a function in a process of its own: its kind, its tree, its imports, and its mistakes."""
