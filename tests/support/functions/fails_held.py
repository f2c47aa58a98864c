"""A module that cannot be imported, and leaves a thread that does not end."""

import os
import resource
import signal
import threading
import time

match os.environ["BEHIND"]:
    case "a mask of all signals":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    case "no timer":
        # The kernel counts a timer as a pending signal.
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0))
threading.Thread(target=time.sleep, args=(60,)).start()
raise ValueError("not today")
