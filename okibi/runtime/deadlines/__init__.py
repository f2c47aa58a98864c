"""The end of a handler at its deadline, and the line of code that it was in."""
