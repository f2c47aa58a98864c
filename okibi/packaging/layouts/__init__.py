"""The layouts of a package beside the zip for Lambda's own Python runtimes."""
