"""A mistake in a handler's shape is told at the start, in one sentence, not at each event."""

from typing import Any

import pytest

from runtime import Context, Handler, InvalidHandler, Workers


class Synchronous(Handler[Any]):
    def handle(self, event: Any, context: Context) -> object:  # type: ignore[override]
        return event


class Misspelt(Handler[Any]):
    async def handler(self, event: Any, context: Context) -> object:
        return event


class WithoutContext(Handler[Any]):
    async def handle(self, event: Any) -> object:  # type: ignore[override]
        return event


class NoHandler:
    async def handle(self, event: Any, context: Context) -> object:
        return event


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        (Synchronous, "Synchronous.handle is no `async def`"),
        (Misspelt, "Misspelt is a Handler without a `handle(self, event, context)`"),
        (WithoutContext, "WithoutContext.handle does not take (self, event, context)"),
        (NoHandler, "NoHandler has a `handle` but is no Handler: write class NoHandler(Hand"),
    ],
)
def test_it_is_told_what_to_write(handler: Any, sentence: str) -> None:
    with pytest.raises(InvalidHandler) as told:
        Workers(handler)

    assert sentence in str(told.value)
