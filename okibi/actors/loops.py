"""The seam to other event loops: on which loop the methods of an actor run.

    class Customers(Server, loop="asyncio"): ...

A layer above has the loop. Its module is imported when the first such actor starts, so a program
without one imports nothing of it.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from .safe_repr import describe_value

if TYPE_CHECKING:
    from .process import Process

R = TypeVar("R")

LoopName = Literal["trio", "asyncio"]
# Runs an async function without arguments.
Runner = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


class Loop:
    """A loop other than trio's. Its module is imported at the first use.

    Args:
        module: the name of the module, which has the functions below.

    Attributes:
        run: runs an async function without arguments on the loop, and waits for its result, but
            not long after a cancellation.
        run_method: runs a method on the loop, in the name of the actor whose task waits for it. At
            the end of the actor's grace, and after a kill, the task no longer waits.
        run_on_trio: runs an async function without arguments on trio, for code on the loop.
        current_task: returns the task that runs on the loop.
    """

    __slots__ = ("_module", "current_task", "run", "run_method", "run_on_trio")

    run: Runner
    run_on_trio: Runner
    current_task: Callable[[], object]
    run_method: "Callable[[Process, Awaitable[Any]], Awaitable[Any]]"

    def __init__(self, module: str) -> None:
        self._module = module

    # Hidden from type checkers: they would accept any attribute.
    if not TYPE_CHECKING:  # pragma: no branch

        def __getattr__(self, name: str) -> object:
            """Import the module: an attribute is not set yet."""
            loop = import_module(self._module)
            for each in self.__slots__[1:]:
                setattr(self, each, getattr(loop, each))
            return object.__getattribute__(self, name)


LOOPS: Final = {"asyncio": Loop("okibi.asyncio_loop.actor_methods")}


def runner(loop: str | None) -> Runner:
    """Return a function that runs an async function without arguments on a loop.

    Args:
        loop: "asyncio"; None and "trio" for the loop of the caller.
    """
    return _run_here if loop is None or loop == "trio" else LOOPS[loop].run


def _run_here(act: Callable[[], Awaitable[R]]) -> Awaitable[R]:
    return act()


def find_loop(owner: str, loop: object) -> Loop | None:
    """Return the loop that a class asks for; None for trio.

    Args:
        owner: the name of the class.
        loop: the value that the class gives.

    Raises:
        TypeError: there is no such loop.
    """
    if loop == "trio":
        return None
    found = LOOPS.get(loop) if isinstance(loop, str) else None
    if found is None:
        given = repr(loop) if isinstance(loop, str) else describe_value(loop)
        raise TypeError(f'{owner}: loop must be "trio" or "asyncio", got {given}')
    return found
