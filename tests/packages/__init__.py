"""Packages that run on Lambda, imported from a start image: `make test-packages`."""
