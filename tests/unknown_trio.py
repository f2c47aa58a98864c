"""`pytest -p tests.unknown_trio`: treat the installed trio as an unknown release.

okibi then uses none of trio's private names (`okibi.actors.trio_internals`).
"""

import trio

trio.__version__ = "unknown"
