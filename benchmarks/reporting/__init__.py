"""What has been measured, as rows, pictures, files and README's table."""
