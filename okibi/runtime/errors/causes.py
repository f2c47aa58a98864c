"""What stands behind an error: the members of a group, and the errors it came of.

The official client tells of none of them. Here they follow behind the error's own frames, which
stay as they are there, each with a line of its own and its frames, cut to the user's:

    members of a group      `  ValueError: text`, in order, each with what stands behind it
    `raise X from Y`        `  Caused by Y: text`
    X raised while Y was    `  While handling Y: text`; not where `from None` says that Y is
    being handled           no matter

Depth first, each error once, at most LIMIT of them.
"""

from collections.abc import Iterator
from typing import NamedTuple, cast

LIMIT = 20


class Related(NamedTuple):
    """One of the errors behind another; `relation` is what its line begins with."""

    relation: str
    error: BaseException


def find_related(error: BaseException) -> list[Related]:
    """All that stands behind an error."""
    seen = {id(error)}
    found: list[Related] = []
    waiting = list(_next(error))
    while waiting and len(found) < LIMIT:
        related = waiting.pop(0)
        if id(related.error) not in seen:
            seen.add(id(related.error))
            found.append(related)
            waiting = [*_next(related.error), *waiting]
    return found


def _next(error: BaseException) -> Iterator[Related]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        for member in group.exceptions:
            yield Related("", member)
    if error.__cause__ is not None:
        yield Related("Caused by ", error.__cause__)
    elif error.__context__ is not None and not error.__suppress_context__:
        yield Related("While handling ", error.__context__)
