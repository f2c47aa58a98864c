"""The settings of a project ([tool.okibi] of pyproject.toml), and what its functions load."""
