"""Answer calls to AWS in a test, without a network.

async def answer(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    assert operation == "GetItem"
    return {"Item": {"id": {"S": "a1"}}}

with aws.answer_with(answer):
    ...
"""

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

__all__ = ["Answer", "answer_with", "current_answer"]

Answer: TypeAlias = Callable[[str, str, dict[str, Any]], Awaitable[dict[str, Any]] | dict[str, Any]]
"""A function that answers calls: it takes service, operation and parameters."""

_current: Answer | None = None


@contextmanager
def answer_with(answer: Answer) -> Generator[None]:
    """Let a function of a test answer the calls of all clients of this process.

    The function is async or plain. It may sleep, in virtual time too, and may raise `CallFailed`.
    okibi retries a call as usual, so a `ThrottlingException` is raised to the function's caller
    after the last attempt. No region and no credentials are needed.

    Args:
        answer: takes the service, the operation and a copy of the parameters as JSON; returns the
            answer.
    """
    global _current
    before, _current = _current, answer
    try:
        yield
    finally:
        _current = before


def current_answer() -> Answer | None:
    """Return the function that answers calls, or None."""
    return _current
