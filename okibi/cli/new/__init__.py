"""`okibi new`: a small project that works, from the files in `project`."""
