"""Cached: a value that is fetched when a reader needs it, shared by all, and never too old.

Theory of operation. A read looks at the age of the value, and `judge` decides:

    age up to max_age                   FRESH     the reader gets the value
    up to max_age + stale_while         STALE     the reader gets the value; a fetch begins, if none
                                                  runs
    older, or no value yet              EXPIRED   the reader waits for the fetch that runs, or for a
                                                  new one; shortly before its deadline it gets an
                                                  error that says so

So there is at most one fetch, whatever the number of readers. A system task of trio runs the fetch,
because a fetch may outlive the reader that has begun it: Lambda freezes the sandbox after the
answer, and the fetch goes on at the next event. The fetch is cancelled when the last of the readers
that wait for it has left: a server that never answers holds no later event. A fetch that a reader
has begun has the deadline of its readers, the latest one, so a client in the fetch can begin no
attempt for which time is too short. A reader gets a FetchError before its deadline, also that of
`trio.move_on_after`: it must expect this error from a failed fetch anyway.

The age counts from the beginning of the fetch, on the clock that shows more: trio's clock may stand
still while a virtual machine is stopped, and the wall clock may be set back. In virtual time both
are trio's clock.

A freeze in the middle of a fetch lets time limits fire for time in which nothing ran, and an answer
that arrived before the freeze is as old as the freeze is long. So a fetch into which a freeze fell
is cancelled at the thaw and repeated once, and a failure because of a freeze is no outage. Waiting
for its time limits, and for a client's own retries, would send further requests.

The value belongs to one run of trio: each test begins without a value.

Rejected: an actor. It would need a child in the tree, and a reader would wait while the actor
fetches. Rejected: a RunVar for the state, which the run would keep when a Cached is dropped, for
example from a cache with a value for each key. Rejected: a fetch by the reader's own task. The
reader's deadline would end the fetch for all readers, and context variables of one event, such as a
tenant, would reach the value of all. Rejected: a reader that waits for a fetch that a freeze has
cut, while the old value may be served. Where events are short and rare, values would be younger;
`stale_while` already says what age is young enough not to wait.
"""

import enum
import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import (
    TrioToken,
    checkpoint,
    current_trio_token,
    in_trio_run,
    spawn_system_task,
)

from .actors import logs
from .actors.deadline_margin import shortly_before_deadline
from .actors.freezes import ClockReadings, FreezeWatch, current_monitors
from .actors.safe_repr import class_name, describe_value, error_text

__all__ = ["Cached", "FetchError"]

T = TypeVar("T")

logger = logs.logger("okibi")

# Seconds between a failed fetch and the next one while the old value is served. Without them each
# event of an outage would ask the server that is down.
PAUSE = 1.0


class Freshness(enum.Enum):
    """The answer of `judge`; the table in this module's docstring says what a reader gets."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


def judge(age: float | None, max_age: float, stale_while: float) -> Freshness:
    """Decide whether a value may be served.

    >>> [judge(age, 300, 60).value for age in (299.0, 301.0, 361.0, None)]
    ['fresh', 'stale', 'expired', 'expired']

    Args:
        age: seconds; None without a value.
        max_age, stale_while: as for Cached.
    """
    if age is None or age > max_age + stale_while:
        return Freshness.EXPIRED
    return Freshness.FRESH if age <= max_age else Freshness.STALE


class FetchError(Exception):
    """A Cached value is missing or too old, and a new one was not fetched.

    The `__cause__` is the exception of the fetch; None if the fetch takes too long for the reader.

    Attributes:
        age: the age of the last value in seconds; None if there was none.
    """

    def __init__(self, text: str, age: float | None) -> None:
        super().__init__(text)
        self.age = age


class Cached(Generic[T]):
    """A value in a module that is fetched when it is read, and shared by all events.

    >>> import trio, trio.testing
    >>> from okibi import Cached
    >>> async def fetch_token() -> str:
    ...     return f"token of second {trio.current_time():g}"
    >>> TOKEN = Cached(fetch_token, max_age=300, stale_while=60)
    >>> async def main():
    ...     print(await TOKEN.get())
    ...     await trio.sleep(200)
    ...     print(await TOKEN.get())
    ...     await trio.sleep(200)
    ...     print(await TOKEN.get())
    >>> trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    token of second 0
    token of second 0
    token of second 400

    It needs no child of the tree, and no background task that a freeze could stop: `get` looks at
    the age at each read. A reader gets a value up to `max_age` seconds old at once. Up to
    `stale_while` seconds later a reader still gets the old value, while one fetch runs. An older
    value is never returned: readers wait for the fetch, all for the same one, and get its value
    however long the fetch took, or an error shortly before their deadline. The log has a line when
    fetches begin to fail, and one when they succeed again.

    Args:
        fetch: an async function without arguments that returns a new value. It runs on trio, in a
            task of its own. When the last reader that waits for it has left, it is cancelled. It
            must not block: over a second without an await looks like a freeze, and the fetch is
            repeated. Nor may it wait for an actor that reads the value.
        max_age: seconds for which a value is fresh, > 0, counted from the beginning of its fetch.
        stale_while: seconds beyond `max_age`, >= 0, in which readers get the old value while a
            fetch runs.

    Raises:
        TypeError: `fetch` cannot be called.
        ValueError: `max_age` or `stale_while` is no such number.
    """

    __slots__ = ("_fetch", "_in_run", "_max_age", "_stale_while")

    # The state, and the run of trio that it belongs to.
    _in_run: "tuple[TrioToken, _State[T]] | None"

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], *, max_age: float, stale_while: float = 0.0
    ) -> None:
        given: object = fetch
        if not callable(given):
            raise TypeError(f"Cached: fetch must be an async function, got {describe_value(fetch)}")
        if not max_age > 0:
            raise ValueError(f"Cached: max_age must be > 0 seconds, got {max_age!r}")
        if not 0 <= stale_while < math.inf:
            raise ValueError(f"Cached: stale_while must be >= 0 seconds, got {stale_while!r}")
        self._fetch = fetch
        self._max_age = max_age
        self._stale_while = stale_while
        self._in_run = None

    async def get(self) -> T:
        """Return the value; fetch it if there is none that is young enough. A checkpoint.

        In a plain `def` handler that runs in a thread: `trio.from_thread.run(TOKEN.get)`. On
        okibi's asyncio loop: `await from_asyncio.run(TOKEN.get)`.

        Raises:
            FetchError: the fetch has failed, or has not ended 0.1 s before the deadline of the
                reader. The text has the age of the last value, and the error or the time waited.
            RuntimeError: this code does not run on trio.
        """
        state = self._state()
        await checkpoint()
        age = state.age()
        match judge(age, self._max_age, self._stale_while):
            case Freshness.FRESH:
                return state.value
            case Freshness.STALE:
                if state.fetch is None and trio.current_time() >= state.paused_until:
                    self._start_fetch(state, math.inf)
                return state.value
            case Freshness.EXPIRED:
                return await self._wait_for_fetch(state)

    async def refreshed(self) -> None:
        """Wait until the fetch that runs has ended, if one does; its error is logged as usual.

        For `context.after_response(PRICES.refreshed)`: without it Lambda freezes the sandbox in the
        middle of a fetch that a stale read has begun, when the event has its answer. Shortly before
        the deadline of the caller the wait ends, and with it a fetch that no reader waits for.

        Raises:
            RuntimeError: this code does not run on trio.
        """
        fetch, until = self._state().fetch, shortly_before_deadline()
        await checkpoint()
        if fetch is not None:
            fetch.scope.deadline = until if fetch.readers == 0 else fetch.scope.deadline
            with trio.move_on_at(until):
                await fetch.done.wait()

    def forget(self) -> None:
        """Drop the value, for example a token that a server has refused: the next read fetches."""
        state = self._state()
        state.began = None
        # A fetch that has begun may bring the same value: only its readers get it.
        fetch, state.fetch = state.fetch, None
        if fetch is not None and fetch.readers == 0:
            fetch.scope.cancel()

    def __repr__(self) -> str:
        return f"<Cached {self._name()}>"

    def _name(self) -> str:
        return getattr(self._fetch, "__qualname__", None) or class_name(type(self._fetch))

    def _state(self) -> "_State[T]":
        if not in_trio_run():
            raise RuntimeError(
                f"{self!r} is read on trio: in a thread use trio.from_thread.run(....get), on "
                "okibi's asyncio loop use `await from_asyncio.run(....get)`"
            )
        run = current_trio_token()
        if self._in_run is None or self._in_run[0] is not run:
            self._in_run = run, _State[T]()
        return self._in_run[1]

    # -- the fetch

    def _start_fetch(self, state: "_State[T]", deadline: float) -> "_Fetch[T]":
        state.fetch = fetch = _Fetch[T](deadline)
        spawn_system_task(self._run_fetch, state, fetch, name=f"fetch of {self!r}")
        return fetch

    async def _wait_for_fetch(self, state: "_State[T]") -> T:
        began, until = trio.current_time(), shortly_before_deadline()
        fetch = state.fetch or self._start_fetch(state, until)
        fetch.readers += 1
        fetch.scope.deadline = max(fetch.scope.deadline, until)
        try:
            with trio.move_on_at(until):
                await fetch.done.wait()
            outcome = fetch.outcome
        finally:
            fetch.readers -= 1
            if fetch.readers == 0 and not fetch.done.is_set():
                fetch.scope.cancel()
                if state.fetch is fetch:
                    state.fetch = None
            fetch.drop_unread()
        if isinstance(outcome, Error):
            error = outcome.error
            raise self._fetch_error(state.age(), _describe_failure(error)) from error
        if outcome is None:
            now = trio.current_time()
            if now < until:
                # The run of trio ends, and has cancelled the fetch; this task is next.
                await trio.sleep_forever()
            why = f"did not end in the {now - began:.1f} s until the reader's deadline"
            raise self._fetch_error(state.age(), why)
        return cast("Value[T]", outcome).value

    async def _run_fetch(self, state: "_State[T]", fetch: "_Fetch[T]") -> None:
        started = trio.current_time()
        try:
            with fetch.scope:
                frozen = await self._run_attempt(state, fetch, ends_at_thaw=True)
                if frozen:
                    frozen = await self._run_attempt(state, fetch, ends_at_thaw=False)
                if state.fetch is fetch:
                    self._note_outcome(state, fetch, frozen)
            now = trio.current_time()
            if state.fetch is fetch and now >= fetch.scope.deadline:
                seconds = now - started
                self._note_failure(state, f"did not end in the {seconds:.1f} s until its deadline")
        finally:
            if state.fetch is fetch:
                state.fetch = None
            fetch.done.set()
            fetch.drop_unread()

    async def _run_attempt(
        self, state: "_State[T]", fetch: "_Fetch[T]", ends_at_thaw: bool
    ) -> bool:
        """Fetch once, and return whether a freeze fell into the attempt."""
        fetch.began, fetch.outcome = state.clocks.read_clocks(), None
        watch = FreezeWatch()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run, nursery.cancel_scope if ends_at_thaw else None)
            fetch.outcome = await self._capture_fetch()
            nursery.cancel_scope.cancel()
        return watch.frozen() > 0

    async def _capture_fetch(self) -> "Outcome[T]":
        # The error's traceback has this frame. A frame with the outcome would be a cycle.
        try:
            return Value(await self._fetch())
        except trio.Cancelled:
            raise
        except BaseException as error:
            # Also SystemExit: trio ends its run if a system task raises.
            return Error(error)

    def _note_outcome(self, state: "_State[T]", fetch: "_Fetch[T]", frozen: bool) -> None:
        match fetch.outcome:
            case Value(value=value):
                state.value, state.began = value, fetch.began
                if state.failing_since is not None:
                    seconds = trio.current_time() - state.failing_since
                    state.failing_since = None
                    logger.warning("%r: fetched again, %.0f s after the failure", self, seconds)
            case Error(error=error) if fetch.readers or not frozen:
                self._note_failure(state, _describe_failure(error))
            case _:
                pass

    def _note_failure(self, state: "_State[T]", why: str) -> None:
        now = trio.current_time()
        state.paused_until = now + PAUSE
        if state.failing_since is None:
            state.failing_since = now
            logger.warning("%s", self._fetch_error(state.age(), why))

    def _fetch_error(self, age: float | None, why: str) -> FetchError:
        known = "there is no value" if age is None else f"the last value is {age:.0f} s old"
        limits = f"max_age {self._max_age:g} s, stale_while {self._stale_while:g} s"
        return FetchError(f"{self!r}: {known} ({limits}), and its fetch {why}", age)


def _describe_failure(error: BaseException) -> str:
    # In one line: the text of httpx's errors has two.
    text = " ".join(error_text(error).split())
    return f"failed: {class_name(type(error))}: {text}".removesuffix(": ")


class _State(Generic[T]):
    """The value in one run of trio.

    Attributes:
        clocks: reads trio's clock and the wall clock.
        began: the clocks at the start of the fetch of the value; None without a value.
        fetch: the fetch that runs, if one does.
        paused_until: the earliest start of the next fetch while the old value is served, by trio's
            clock.
        failing_since: the time of the first failed fetch of an outage, by trio's clock; None if
            fetches succeed. The log has the first failure only.
        value: the value; unset before the first.
    """

    __slots__ = ("began", "clocks", "failing_since", "fetch", "paused_until", "value")

    value: T

    def __init__(self) -> None:
        self.clocks = current_monitors()
        self.began: ClockReadings | None = None
        self.fetch: _Fetch[T] | None = None
        self.paused_until = -math.inf
        self.failing_since: float | None = None

    def age(self) -> float | None:
        """Return the age of the value in seconds; None without a value."""
        if self.began is None:
            return None
        now = self.clocks.read_clocks()
        return max(now.trio - self.began.trio, now.wall - self.began.wall)


class _Fetch(Generic[T]):
    """One fetch.

    Attributes:
        readers: the number of readers that wait for the fetch.
        scope: cancelled when the last of the readers has left. Its deadline is the latest of the
            readers'; inf if no reader waited at the beginning.
        done: set at the end of the fetch.
        began: the clocks at the start of the last attempt.
        outcome: the value or the error of the last attempt; None before, and if it was cancelled.
    """

    __slots__ = ("began", "done", "outcome", "readers", "scope")

    began: ClockReadings

    def __init__(self, deadline: float) -> None:
        self.readers = 0
        self.scope = trio.CancelScope(deadline=deadline)
        self.done = trio.Event()
        self.outcome: Outcome[T] | None = None

    def drop_unread(self) -> None:
        """Drop the outcome when no reader takes it any more.

        The traceback of an error may hold the frames that await it (Python 3.13), and these hold
        the fetch: a cycle.
        """
        if self.readers == 0 and self.done.is_set():
            self.outcome = None
