"""`okibi tree`: the tree of a function, before it runs and while okibi dev serves it."""
