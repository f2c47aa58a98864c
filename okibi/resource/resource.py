"""Resource: the value that names a resource, makes its Lender, and lends."""

import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

import trio
from trio.lowlevel import current_task, in_trio_run

from ..actors import ActorExited, Name
from ..actors.deadline_margin import shortly_before_deadline
from ..actors.exits import NoProcess
from ..actors.loops import LOOPS, LoopName
from ..actors.ref import Ref
from ..actors.safe_repr import class_name, describe_value
from ..actors.trio_internals import sniffio
from ..supervisors.spec import ActorFactory
from .lender import Client, Lender, LendError, Loan
from .lending import Rules

T = TypeVar("T")
L = TypeVar("L")


class Resource(ActorFactory, Generic[L]):
    """A connection, or the pool of a client, that is opened when it is needed and lent to events.

    >>> import trio
    >>> from okibi.resource import Resource
    >>> from okibi.supervisors import Child, SupervisorSpec, supervise
    >>> class Connection:
    ...     async def query(self) -> int:
    ...         return 42
    >>> async def connect() -> Connection:
    ...     print("connected")
    ...     return Connection()
    >>> DATABASE = Resource(connect, max_age=600)
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         top = await supervise(nursery, SupervisorSpec([Child(DATABASE)]))
    ...         async with DATABASE.lend() as connection:
    ...             print(await connection.query())
    ...         top.stop()
    >>> trio.run(main)
    connected
    42

    `Child(DATABASE)` puts its actor into the tree: in `Function(children=[...])`, in an
    Application, or in any supervisor. The module has the value; handlers and actors borrow:

        async with DATABASE.lend() as connection:
            ...

    Args:
        open: an async function that returns the opened thing: a client's pool, or a connection.
        lend: makes the async context manager of one loan from the opened thing, for example
            `AsyncConnectionPool.connection`. It gets the exception that leaves the borrower's
            block, and one if the borrower is killed. Default: the opened thing itself is lent; if
            it is lent to one borrower at once, it is thrown away when the block raises.
        close: an async function that closes the opened thing.
        check: an async function that raises, or returns False, if the opened thing no longer works.
            It runs before a loan if the thing has not served for a second, as after a freeze, and
            has a second to answer. If it fails, the thing is opened anew, for the same loan.
        connections: the number of loans at once, which is the number of connections that one
            sandbox may have. Give the client's pool the same size. One event, actor or task has
            one at a time.
        max_age: seconds after which the next loan opens the thing anew. The old one closes when
            its last borrower has returned.
        max_wait: seconds that `lend` waits; a nearer deadline of the borrower counts.
        server_limit: the number of connections that the server allows, for `okibi check`.
        loop: "asyncio" for a client of asyncio: all functions run on okibi's asyncio loop.
        name: the name in the tree and in errors. Default: the name of `open`.

    Raises:
        TypeError: a function cannot be called.
        ValueError: a number or `loop` is wrong.
    """

    __slots__ = ("client", "max_wait", "name", "rules", "server_limit")

    mailbox = Lender.mailbox
    name: Name[Lender]

    @overload
    def __init__(
        self,
        open: Callable[[], Awaitable[L]],
        *,
        close: Callable[[L], Awaitable[object]] | None = None,
        check: Callable[[L], Awaitable[object]] | None = None,
        connections: int = 1,
        max_age: float = math.inf,
        max_wait: float = 30.0,
        server_limit: int | None = None,
        loop: LoopName | None = None,
        name: str | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self,
        open: Callable[[], Awaitable[T]],
        *,
        lend: Callable[[T], AbstractAsyncContextManager[L, bool | None]],
        close: Callable[[T], Awaitable[object]] | None = None,
        check: Callable[[T], Awaitable[object]] | None = None,
        connections: int = 1,
        max_age: float = math.inf,
        max_wait: float = 30.0,
        server_limit: int | None = None,
        loop: LoopName | None = None,
        name: str | None = None,
    ) -> None: ...

    def __init__(
        self,
        open: Callable[[], Awaitable[Any]],  # noqa: A002
        *,
        lend: Callable[[Any], AbstractAsyncContextManager[Any, Any]] | None = None,
        close: Callable[[Any], Awaitable[object]] | None = None,
        check: Callable[[Any], Awaitable[object]] | None = None,
        connections: int = 1,
        max_age: float = math.inf,
        max_wait: float = 30.0,
        server_limit: int | None = None,
        loop: LoopName | None = None,
        name: str | None = None,
    ) -> None:
        given = {"open": open, "lend": lend, "close": close, "check": check}
        for which, function in given.items():
            if not callable(function) and (function is not None or which == "open"):
                raise TypeError(
                    f"Resource: {which} must be a function, got {describe_value(function)}"
                )
        _check_count("connections", connections)
        _check_count("server_limit", 1 if server_limit is None else server_limit)
        for which, seconds in (("max_age", max_age), ("max_wait", max_wait)):
            if not seconds > 0:
                raise ValueError(f"Resource: {which} must be > 0 seconds, got {seconds!r}")
        if loop not in (None, "trio", "asyncio"):
            raise ValueError(f'Resource: loop must be "trio", "asyncio" or None, got {loop!r}')
        known = name or getattr(open, "__qualname__", None) or class_name(type(open))
        self.name = Name(known, Lender)
        self.client = Client(open, lend, close, check, loop)
        exclusive = lend is None and connections == 1
        self.rules = Rules(connections, max_age, check is not None, exclusive)
        self.max_wait = max_wait
        self.server_limit = server_limit

    def __call__(self) -> Lender:
        """Make the actor of a child."""
        return Lender(self)

    def lend(self) -> "Lending[L]":
        """Borrow for the length of an `async with` block, on trio or on okibi's asyncio loop.

        If none is free, the borrower waits in order until `max_wait`, or shortly before its
        deadline. The block's end returns what was lent; an error of the context manager's exit, a
        failed commit for example, is raised.

        Raises:
            LendError: nothing was lent; the text says why and what would help.
            RuntimeError: this code runs neither on trio nor on okibi's asyncio loop.
            BaseException: the exception that the context manager of `lend` raises.
        """
        return Lending(self)

    @contextmanager
    def opened_by(self, open: Callable[[], Awaitable[L]]) -> Generator[None]:  # noqa: A002
        """Open a stand-in inside a `with` block of a test; `lend`, `close` and `check` do not run.

            with DATABASE.opened_by(make_fake):
                async with running(function) as app:
                    ...

        Args:
            open: an async function on trio that returns what is lent.
        """
        client, self.client = self.client, Client(open)
        try:
            yield
        finally:
            self.client = client

    def __repr__(self) -> str:
        return f"<Resource {self.name.key}>"


class Lending(AbstractAsyncContextManager[L, bool | None]):
    """One loan as an async context manager. Made by `Resource.lend`."""

    __slots__ = ("_lender", "_loan", "_resource")

    _lender: Ref[Lender]
    _loan: Loan

    def __init__(self, resource: Resource[L]) -> None:
        self._resource = resource

    async def __aenter__(self) -> L:
        if hasattr(self, "_loan"):
            raise RuntimeError(f"{self._resource!r}: a loan is for one block: call lend() for each")
        if not in_trio_run():
            raise RuntimeError(
                f"{self._resource!r} lends on trio and on okibi's asyncio loop, and this code runs "
                "on neither: write an `async def` handler"
            )
        lender = self._resource.name.whereis()
        if lender is None:
            raise LendError(
                f"{self._resource!r} has no actor: add Child(...) of it to the children of the "
                "Function, or to another supervisor"
            )
        loop = LOOPS["asyncio"] if sniffio.name == "asyncio" else None
        task = current_task() if loop is None else loop.current_task()
        self._lender, self._loan = lender, Loan(task)
        try:
            lent: L = await (self._borrow() if loop is None else loop.run_on_trio(self._borrow))
        except BaseException as left_by:
            # Also after an error of the Lender's, which then knows no such loan; and on asyncio a
            # cancellation may come between the reply and this task's next step.
            self._send_back(left_by)
            raise
        return lent

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        # Not `bool`: a type checker would then expect code after each block that returns.
        try:
            if sniffio.name == "asyncio":
                suppressed: bool = await LOOPS["asyncio"].run_on_trio(partial(self._return, error))
            else:
                suppressed = await self._return(error)
            return suppressed
        finally:
            # The error's frames refer to this frame.
            del error, trace

    async def _borrow(self) -> Any:
        until = min(trio.current_time() + self._resource.max_wait, shortly_before_deadline())
        try:
            return await self._lender.call(Lender.borrow, self._loan, until)
        except ActorExited as ended:
            raise LendError(f"{self._resource!r} lends nothing: {ended}") from ended

    async def _return(self, error: BaseException | None) -> bool:
        loan = self._loan
        self._send_back(error)
        if error is not None and not isinstance(error, Exception):
            # A cancellation or an exit: the rollback goes on without its borrower.
            return False
        try:
            await loan.ended.wait()
        except trio.Cancelled:
            self._send_back(None)
            raise
        return bool(loan.outcome.unwrap())

    def _send_back(self, error: BaseException | None) -> None:
        if self._lender.alive:
            try:
                self._lender.cast_nowait(Lender.give_back, self._loan, error)
            except (ActorExited, NoProcess):
                # It is ending, and ends its loans.
                return


def _check_count(which: str, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"Resource: {which} must be an integer >= 1, got {count!r}")
