"""Collect garbage less often while the user's code is imported.

Imports create many objects and hardly any garbage. Python looks through the new objects after each
700 or 2,000 of them, which is 5 % of `import boto3`. A look through all of them afterwards would be
5 % more: 47,000 objects, of which 239 are garbage. They are left out of all collections instead.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager

# New objects after which Python looks for garbage: at most some 10 MB of garbage wait for it.
IMPORT_THRESHOLD = 100_000


@contextmanager
def fewer_collections() -> Generator[None]:
    """Raise the threshold of the garbage collector until the block ends.

    A threshold that the block sets itself stays. Later collections leave out the block's objects.
    """
    young, *older = gc.get_threshold()
    gc.set_threshold(max(young, IMPORT_THRESHOLD) if young else 0, *older)
    raised = gc.get_threshold()
    try:
        yield
    finally:
        gc.freeze()
        if gc.get_threshold() == raised:
            gc.set_threshold(young, *older)
