"""`okibi tree`: the supervision tree of a function, before it runs."""
