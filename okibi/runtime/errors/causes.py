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
from typing import cast

LIMIT = 20


# The beginning of the error's line, and an error behind another error.
Related = tuple[str, BaseException]


def find_related(error: BaseException) -> list[Related]:
    """Collect all errors behind an error."""
    seen = {id(error)}
    found: list[Related] = []
    waiting = list(_direct(error))
    while waiting and len(found) < LIMIT:
        relation, behind = waiting.pop(0)
        if id(behind) not in seen:
            seen.add(id(behind))
            found.append((relation, behind))
            waiting = [*_direct(behind), *waiting]
    return found


def _direct(error: BaseException) -> Iterator[Related]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        for member in group.exceptions:
            yield "", member
    if error.__cause__ is not None:
        yield "Caused by ", error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__:
        yield "While handling ", error.__context__
