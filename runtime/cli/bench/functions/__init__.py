"""What the benchmark serves of its own; this folder is on the path of the processes it measures."""
