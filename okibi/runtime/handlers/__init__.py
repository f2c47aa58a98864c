"""The user's code: the Function, its handlers, their context and their responses."""
