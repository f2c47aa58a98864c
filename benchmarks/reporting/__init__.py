"""Results as rows, files, pictures, and README's table."""
