"""`python -P -m okibi.runtime [HANDLER]`: what a bootstrap runs."""

import gc
import os
import sys

# What is imported stays: each collection on the way would look through all of it and find next to
# nothing. `main` lets the collector begin where the user's own code does. Not where one process
# takes many events at once: it starts rarely and lives long, and the garbage of imports, that
# nobody would ever look at again, is 0.9 MB.
one_lane = os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1") in ("", "1")
rests = __name__ == "__main__" and one_lane and gc.isenabled()
if rests:
    gc.disable()

try:
    from .startup.lean_trio import import_msgspec, import_trio

    import_trio()
    import_msgspec()

    from .bootstrap import main
    from .process.shutdown import STOP_LIMIT, end_within
except Exception as error:
    from .startup.wrong_build import end_if_wrong_build

    end_if_wrong_build(error)
    raise


def __getattr__(name: str) -> object:
    """The official client's name for what libraries patch (`startup.official_client_names`)."""
    if name != "bootstrap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .startup import official_client_names

    return official_client_names


if __name__ == "__main__":
    code = main(sys.argv[1:], collect=rests)
    # The interpreter waits for the threads that user code has left.
    end_within(STOP_LIMIT, code)
    sys.exit(code)
