"""Once: work that runs once for a key, on the store of the entities."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar

import msgspec

from ..actors.loops import LOOPS, Runner, runner
from ..actors.trio_internals import sniffio
from .calls import Handled, Message, MessageForgotten
from .entities import ONCE_KEPT, as_kept, current_sandbox, set_aside
from .messages import encode_error, encode_value, read_name, take_reply
from .rows import Mail

P = ParamSpec("P")
R = TypeVar("R")


class OnceMismatch(Exception):
    """A key was used for other arguments before."""


class Once:
    """Runs a function once for a key; a duplicate waits for the result of the first.

    For events that Lambda or a queue may deliver twice:

        PAID = Once("paid")

        async def handler(event, context):
            return await PAID.run(event["order"], charge, event["card"])

    The result is kept as JSON. A function that raises has not run, as far as Once knows: the next
    call with the key runs it again. So does the next call after a sandbox that died or was frozen
    in the middle, when the lease has ended: what the function does elsewhere may happen twice.

    Args:
        kind: the name in the store, without a slash.
        kept: seconds for which the result is kept.
    """

    def __init__(self, kind: str, *, kept: float = ONCE_KEPT) -> None:
        if not kind or "/" in kind:
            raise ValueError(f"Once: kind is a name without a slash, got {kind!r}")
        self.kind = kind
        self.kept = kept

    async def run(
        self,
        key: str,
        function: Callable[P, Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a function, or return the result that it had for the same key.

        Args:
            key: identifies the work, such as the id of an order.
            function: an async function. It runs on the caller's loop, trio's or asyncio's. Its
                result has a JSON form, and is converted to the type that the function names.
            *args, **kwargs: the arguments of the function, with a JSON form.

        Raises:
            OnceMismatch: the key was used with other arguments before.
            CallLate: the work of another event did not end before this one's deadline.
            NoEntityStore: no EntityStore runs here.
            BaseException: whatever the function raises.
        """
        loop = "asyncio" if sniffio.name == "asyncio" else None
        act = partial(self._run, runner(loop), key, function, args, kwargs)
        result: R = await (act() if loop is None else LOOPS[loop].run_on_trio(act))
        return result

    async def _run(
        self,
        run_function: Runner,
        key: str,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        from hashlib import sha256

        sandbox = current_sandbox()
        whole = f"once:{self.kind}/{key}"
        given = msgspec.json.encode((args, kwargs), order="deterministic")
        digest = sha256(given).hexdigest()[:32]
        failures = list[BaseException]()

        mismatch = f"{whole} was used with other arguments before"

        async def handle(key: str, state: str, mail: Mail) -> Handled:
            if mail.body != digest:
                # The sandbox that had these arguments has died: this run cannot do its work.
                raise OnceMismatch(mismatch)
            try:
                value = await run_function(partial(function, *args, **kwargs))
            except (Exception, SystemExit) as error:
                failures.append(error)
                return Handled(state, None)
            try:
                return Handled(state, encode_value(value, digest))
            except (TypeError, ValueError) as error:
                # The work is done, and must not be done again.
                return Handled(state, encode_error(error))

        def set_work_aside(key: str, state: str, mail: Mail) -> Handled:
            return set_aside(key, function.__qualname__, state)

        # The work has effects elsewhere, so it runs with the lease.
        caller = sandbox.caller(handle, set_work_aside, is_quiet=False)
        deadline, kept = sandbox.message_deadline(), as_kept(self.kept)
        number = 1
        try:
            while True:
                message = Message("once", number, digest, deadline, kept)
                reply = await caller.call(whole, message)
                if reply.until >= sandbox.store.now():
                    break
                # It is no longer kept.
                number = reply.number + 1
        except MessageForgotten:
            raise failures.pop() from None
        if read_name(reply.body) not in ("", digest):
            raise OnceMismatch(mismatch)
        return take_reply(function, whole, reply.body)
