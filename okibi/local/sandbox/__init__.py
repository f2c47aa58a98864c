"""The bootstrap's process: its environment, its output, its end."""
