"""`pytest -p tests.unknown_trio`: the installed trio is taken for a release that nobody has read.

Then okibi uses none of trio's private names (`okibi.actors.trio_internals`), as with a
release that is to come.
"""

import trio

trio.__version__ = "unknown"
