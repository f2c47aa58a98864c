"""Lambda's Invoke API: names, requests, refusals, event streams."""
