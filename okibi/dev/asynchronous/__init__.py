"""Asynchronous invocations (`InvocationType: Event`): queue, retries, and the on-failure file."""
