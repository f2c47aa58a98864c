"""Errors as Lambda reports them: type, message, stack, X-Ray cause."""
