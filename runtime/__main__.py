"""`python -P -m runtime [HANDLER]`: what a bootstrap runs."""

import sys

from .bootstrap import main
from .ending import STOP_LIMIT
from .watchdog import end_within

if __name__ == "__main__":
    code = main(sys.argv[1:])
    # The interpreter waits for the threads that user code has left.
    end_within(STOP_LIMIT, code)
    sys.exit(code)
