"""Find the user's code, and import only what a start needs."""
