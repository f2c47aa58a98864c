"""The command line. Each command has a file of its own; `__main__` only wires them."""
