"""`python -P -m runtime [HANDLER]`: what a bootstrap runs."""

import sys

from .bootstrap import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
