"""`okibi check`: load a function, and show what its start imports."""
