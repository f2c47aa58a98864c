"""What a handler says that answers piece by piece (Runtime API, response streaming).

The plain way is to yield:

    async def handler(event, context):
        yield Prelude(headers={"content-type": "text/event-stream"})
        async for price in prices():
            yield f"data: {price}\\n\\n"

What is yielded is bytes, or str, which is sent as UTF-8. A Prelude as the first item is the
status, headers and cookies of an HTTP answer (function URL, API Gateway); without one it is a
stream of bytes. A `def` may yield as well, and so may `handle` of a Handler class.

The other way is to be given the response, as by `streamifyResponse` in Node.js:

    @streaming
    async def handler(event, response, context):
        response.content_type = "text/csv"
        await response.write("id,name\\n")
        await copy_rows(response)

Either way a piece is with the Runtime API before the handler goes on, which waits while the
connection takes no more. What fails before the first piece is an error like any other; what fails
later ends the stream with the error behind it. At the deadline, or if the Runtime API takes no more
of it, the handler is cancelled where it stands: what it has in `finally` runs.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import msgspec
import trio

from ...actors.safe_repr import misplaced
from ...actors.signatures import bind
from ..codec.json import exact_bytes
from ..in_flight.delivery import Delivery, State
from ..in_flight.handover import tell
from ..in_flight.lane import Lane
from ..in_flight.stream import RESPONSE, Stream
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import HTTP_INTEGRATION, OCTETS, PRELUDE_END, chunk, header_value

# Bytes that may wait for the connection before the handler is made to.
BUFFER_LIMIT = 64 * 1024
# The platform looks for the prelude's end in the first 16 KB (Lambda, response streaming).
PRELUDE_LIMIT = 16 * 1024


@attrs.frozen
class Prelude:
    """Status, headers and cookies of a streamed HTTP answer.

    Args:
        status_code: from 100 to 599.
        headers: by name; one value each.
        cookies: each as a `Set-Cookie` has it.

    Raises:
        TypeError: a header or a cookie is no str.
        ValueError: the status is none, or all of it is longer than Lambda reads.
    """

    status_code: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    cookies: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        if self.status_code not in range(100, 600):
            raise ValueError(f"status_code is from 100 to 599, not {misplaced(self.status_code)}")
        texts: list[object] = [*self.headers, *self.headers.values(), *self.cookies]
        if isinstance(self.cookies, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("headers are str by str, cookies a list of str")
        if len(self.encoded()) + len(PRELUDE_END) > PRELUDE_LIMIT:
            raise ValueError(f"a prelude has at most {PRELUDE_LIMIT} bytes; this one is longer")

    def encoded(self) -> bytes:
        """As the Runtime API has it."""
        told: dict[str, object] = {
            "statusCode": self.status_code,
            "headers": dict(self.headers),
        }
        if self.cookies:
            told["cookies"] = list(self.cookies)
        return msgspec.json.encode(told)


Piece = bytes | bytearray | memoryview | str
"""What a streamed answer consists of."""
Item = Piece | Prelude
"""What may be yielded, or written."""


class Response:
    """A streamed answer that is being written: what a handler marked `@streaming` is given.

    It ends when the handler returns; what that returns does not matter.
    """

    __slots__ = ("_content_type", "_cut", "_delivery", "_lane", "_stream", "_worker", "at_once")

    def __init__(self, lane: Lane, delivery: Delivery, cut: Callable[[], None]) -> None:
        self._lane = lane
        self._delivery = delivery
        self._worker = delivery.worker
        self._content_type = OCTETS
        self._cut = cut
        self._stream: Stream | None = None
        # Whether pieces are written in the step that brings them: never on a user's stack, which
        # may have used up nearly all that Python allows (`okibi.actors.trio_internals`).
        self.at_once = False

    @property
    def content_type(self) -> str:
        """Of the whole answer; to be set before the first write, and not beside a Prelude, whose
        headers say what its body is.

        Raises:
            RuntimeError: it is set when the answer has begun.
            ValueError: it is more than one line.
        """
        return self._content_type.decode("latin-1")

    @content_type.setter
    def content_type(self, value: str) -> None:
        if self._stream is not None:
            raise RuntimeError("the answer has begun: set content_type before the first write")
        self._content_type = header_value(value)

    async def write(self, data: Item) -> None:
        """Send a piece: it is with the connection, or waits there for little, when this returns.

        Cancelled, it may have been sent, or not.

        Args:
            data: bytes, or str, sent as UTF-8; first of all maybe a Prelude.

        Raises:
            TypeError: it is neither.
            UnicodeEncodeError: it is a str that is no text.
            RuntimeError: the answer has ended, or is no longer this handler's to give.
        """
        try:
            stream = await self._put(data)
        except Exception:
            # Who writes on and on, whatever he is told, must not hold the loop.
            await trio.lowlevel.checkpoint()
            raise
        if self._sent(stream):
            await trio.lowlevel.checkpoint()
            return
        while True:
            await stream.written()
            if self._lane.unwritten <= BUFFER_LIMIT or stream.over or not self._goes_on:
                return

    def _sent(self, stream: Stream) -> bool:
        """Have what was put sent; whether it is, or what waits for the connection is little."""
        # While it does, the responder waits, too, and mail would only fill its mailbox.
        if not (stream.blocked or tell(self._lane.writer, now=self.at_once)):
            return False
        return self._lane.unwritten <= (BUFFER_LIMIT if stream.blocked else 0)

    # -- for whoever runs the handler

    def finish(self) -> Outcome:
        """All has been said; the outcome of a stream that ended well."""
        if self._stream is None:
            self._say(b"")
        return Outcome(b"")

    @property
    def over(self) -> str:
        """Why nobody takes the rest; empty while somebody does."""
        return self._stream.over if self._stream is not None else ""

    @property
    def _goes_on(self) -> bool:
        return self._delivery.state is State.STREAMING

    async def _put(self, data: Item) -> Stream:
        self._check(data)
        while (begun := self._stream) is not None and self._lane.unwritten > BUFFER_LIMIT:
            # Whoever gave up his last wait does not add to what waits already.
            if begun.over or not self._goes_on:
                break
            await begun.written()
        return self._say(data)

    def _check(self, data: object) -> None:
        if isinstance(data, Prelude):
            if self._stream is not None:
                raise TypeError("a Prelude comes before all else of a streamed answer")
        elif isinstance(data, str):
            if not data.isascii():
                data.encode()
        elif not isinstance(data, Piece):
            kind = type(data).__name__
            raise TypeError(f"a streamed answer consists of bytes and str, not {kind}: encode it")

    def _say(self, data: Item) -> Stream:
        if self._stream is not None:
            if not self._lane.go_on(self._delivery, _chunks(data)):
                raise RuntimeError(f"the answer has ended: {self._stream.over}")
            return self._stream
        kind = HTTP_INTEGRATION if isinstance(data, Prelude) else self._content_type
        stream = Stream(self._cut)
        opened = self._lane.open_stream(self._delivery, self._worker, stream, kind, _chunks(data))
        if not opened:
            raise RuntimeError("this invocation has been answered already")
        self._stream = stream
        return stream


def _chunks(data: Item) -> list[bytes]:
    if isinstance(data, Prelude):
        return [*chunk(data.encoded()), *chunk(PRELUDE_END)]
    if isinstance(data, str):
        # Past what a subclass makes of it; a proxy of one is no subclass, and is asked.
        data = str.encode(data) if str in type(data).__mro__ else data.encode()
    return chunk(exact_bytes(data))


Marked = TypeVar("Marked", bound=Callable[[Any, Response, Any], Awaitable[object]])


def streaming(handler: Marked) -> Marked:
    """Mark an `async def handler(event, response, context)` as one that writes its answer.

    Raises:
        TypeError: it is no `async def` of three parameters.
    """
    marked: Any = handler
    if not inspect.iscoroutinefunction(marked):
        raise TypeError(
            f"@streaming is for an `async def`, not {misplaced(marked)}; to yield needs no mark"
        )
    try:
        bind(marked, None, None, None)
    except TypeError as error:
        raise TypeError(f"{marked.__name__} does not take (event, response, context)") from error
    setattr(marked, RESPONSE, True)
    return handler
