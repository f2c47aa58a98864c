"""A function with its own signal handlers, as with an own extension."""

import os
import signal
import sys

from ends import Sleeper, members

from okibi.runtime import Function


def told(number, frame):
    os.write(1, f"told of {number}\n".encode())
    sys.exit(5)


signal.signal(signal.SIGTERM, told)
signal.signal(signal.SIGINT, told)
handler = Function(Sleeper, members(0))
