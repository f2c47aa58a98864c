"""The command line: `okibi`."""
