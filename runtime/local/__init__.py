"""Lambda on your machine: a Runtime API server on trio."""
