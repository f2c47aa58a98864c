"""A module that exits during import."""

import sys

sys.exit("no configuration")
