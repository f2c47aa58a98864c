"""`okibi template`: a template of a function and of what is around it."""
