"""`okibi package`: build the file that Lambda runs, from a folder and its requirements."""
