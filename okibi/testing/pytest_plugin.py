"""pytest fixtures for okibi. pytest loads this module in every run: nothing is imported early."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..runtime import Context
    from .subprocess_sandbox import Sandbox


@pytest.fixture
def lambda_context() -> "Context":
    """The context object of an invocation, to call a handler directly."""
    from . import context

    return context()


@pytest.fixture(scope="session")
def lambda_sandbox() -> "Iterator[Callable[..., Sandbox]]":
    """Start a function in a subprocess, or return the one that an earlier test has started.

    Call it with the arguments of `okibi.testing.sandbox`. All tests of the run share the sandbox of
    the same arguments. It ends with the test run.
    """
    from . import sandbox

    started: dict[str, Sandbox] = {}
    with ExitStack() as stack:

        def open_sandbox(handler: Any, **settings: Any) -> "Sandbox":
            key = repr((handler, sorted(settings.items())))
            if key not in started:
                started[key] = stack.enter_context(sandbox(handler, **settings))
            return started[key]

        yield open_sandbox
