"""Results as rows, files, pictures, and the table of docs/performance.md."""
