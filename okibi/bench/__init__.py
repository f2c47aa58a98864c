"""`okibi bench`: measure the time, memory and cost of a function in separate processes."""
