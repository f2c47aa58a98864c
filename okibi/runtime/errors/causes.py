"""The errors behind an error: members of a group, causes, and errors that were being handled.

The official client reports none of them. okibi appends them to the stack of the error, whose own
frames stay unchanged. Each gets one line and its frames, cut to the user's:

    members of a group      `  ValueError: text`, in order, each followed by its related errors
    `raise X from Y`        `  Caused by Y: text`
    X raised while Y was    `  While handling Y: text`; omitted after `from None`
    being handled

Depth first, each error once, at most LIMIT errors.
"""

from collections.abc import Iterator
from typing import NamedTuple, cast

LIMIT = 20


class Related(NamedTuple):
    """An error behind another error; `relation` begins the error's line."""

    relation: str
    error: BaseException


def find_related(error: BaseException) -> list[Related]:
    """Collect all errors behind an error."""
    seen = {id(error)}
    found: list[Related] = []
    waiting = list(_direct(error))
    while waiting and len(found) < LIMIT:
        related = waiting.pop(0)
        if id(related.error) not in seen:
            seen.add(id(related.error))
            found.append(related)
            waiting = [*_direct(related.error), *waiting]
    return found


def _direct(error: BaseException) -> Iterator[Related]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        for member in group.exceptions:
            yield Related("", member)
    if error.__cause__ is not None:
        yield Related("Caused by ", error.__cause__)
    elif error.__context__ is not None and not error.__suppress_context__:
        yield Related("While handling ", error.__context__)
