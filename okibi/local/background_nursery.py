"""A nursery for the tasks that run while a block runs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background_nursery() -> AsyncGenerator[trio.Nursery]:
    """Open a nursery whose tasks are cancelled when the block ends.

    An error of the block is raised as it is, not in a group. The groups of an inner context manager
    would hide from its user which error the user's own block raised.

    Raises:
        ExceptionGroup: a task raised an error.

    Example:
        async with open_background_nursery() as nursery:
            nursery.start_soon(serve)
            yield address
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
