"""Handlers of a module that blocks all signals, as a program with a sigwait thread does."""

import signal

from holds import asynchronous, plain  # noqa: F401, the sandbox is given their names

signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
