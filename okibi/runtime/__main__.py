"""`python -P -m okibi.runtime [HANDLER]`: serve a function.

A package that `okibi package` built runs `lib/okibi_start.py` instead. This script calls `start`
with the package's start image.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from ..actors.process import Process
    from .startup.start_image import StartImage


def import_okibi() -> Callable[..., int]:
    """Import what each start needs; return `bootstrap.main`."""
    from .startup.lean_trio import import_trio, imports_when_used

    import_trio()
    with imports_when_used():
        from .bootstrap import main

    return main


def start(
    image: StartImage | None = None, observe: Callable[[Process], None] | None = None
) -> NoReturn:
    """Serve the function, and end the process.

    Args:
        image: the start image from which modules are imported.
        observe: called with the root of the tree, before any other actor starts.

    Raises:
        SystemExit: always, with the exit code.
    """
    # Imported modules stay alive, and collections during imports would find next to nothing: the
    # garbage collector is off until `main` loads the user's code. With several lanes it stays on.
    # Such a process starts rarely and lives long, and uncollected garbage of imports would keep
    # 0.9 MB.
    one_lane = os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1") in ("", "1")
    gc_paused = one_lane and gc.isenabled()
    if gc_paused:
        gc.disable()
    try:
        with nullcontext() if image is None else image.lean_imports():
            from .startup.lean_trio import imports_when_used

            with imports_when_used():
                from .protocol.registration import send_registration

            # The response comes during the imports.
            registration = send_registration(os.environ)
            main = import_okibi()
            from .process_end.shutdown import STOP_LIMIT, exit_within
    except Exception as error:
        from .startup.wrong_build import end_if_wrong_build

        end_if_wrong_build(error)
        raise
    code = main(
        sys.argv[1:],
        enable_gc=gc_paused,
        registration=registration,
        end_imports=None if image is None else image.end_start,
        observe=observe,
    )
    # The interpreter waits for threads that the user's code has left.
    exit_within(STOP_LIMIT, code)
    sys.exit(code)


# Python takes memory for the frames of calls in pieces of 16 KB, and before 3.14 returns an empty
# piece at once. A loop that calls across the end of a piece asks the system for memory at each
# call: 600 times while FastAPI is imported, 7 microseconds each. A frame that needs more gets a
# larger piece. The piece of this frame, 256 KB, has room for the frames above it, too. What no
# frame uses takes no memory.
start.__code__ = start.__code__.replace(co_stacksize=16_000)


def __getattr__(name: str) -> object:
    """Provide the official client's `bootstrap`, which libraries patch.

    See `startup.official_client_names`.
    """
    if name != "bootstrap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .startup import official_client_names

    return official_client_names


if __name__ == "__main__":
    start()
