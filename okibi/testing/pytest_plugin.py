"""pytest fixtures for okibi. pytest loads this module in every run: nothing is imported early."""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..runtime import Context
    from .subprocess_sandbox import Sandbox


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, None]:
    """Say how to mark an async test that no plugin runs."""
    del pyfuncitem
    failure = (yield).excinfo
    if (
        failure is not None
        and isinstance(failure[1], pytest.fail.Exception)
        and "async def functions are not" in str(failure[1].msg)
        and "okibi.testing.virtual_clock" in sys.modules
    ):
        failure[1].msg = f"{failure[1].msg}\nWith okibi: mark it with @virtual_time."


@pytest.fixture
def lambda_context() -> "Context":
    """Return the context object of an invocation, to call a handler directly."""
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
