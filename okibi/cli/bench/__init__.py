"""`okibi bench`: what a function costs, measured by processes of its own."""
