"""Response, Prelude and @streaming: responses that are sent piece by piece.

(Runtime API: response streaming.) The simple way is to yield:

    async def handler(event, context):
        yield Prelude(headers={"content-type": "text/event-stream"})
        async for price in prices():
            yield f"data: {price}\\n\\n"

A piece is bytes, or str, which is sent as UTF-8. A Prelude as the first item sets the status,
headers and cookies of an HTTP response (function URL, API Gateway); without a Prelude the response
is a stream of bytes. A plain `def` and the `handle` of a Handler class may yield too.

The other way is to take the response as an argument, as with `streamifyResponse` in Node.js:

    @streaming
    async def handler(event, response, context):
        response.content_type = "text/csv"
        await response.write("id,name\\n")
        await copy_rows(response)

Either way the piece is sent before the handler continues; the handler waits while the connection
is blocked. An error before the first piece is an ordinary error response. A later error ends the
stream, with the error in the trailers. At the deadline, and when the Runtime API ends the stream,
the handler is cancelled; its `finally` blocks run.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from json import JSONEncoder
from typing import Any, TypeVar

import attrs
import trio

from ...actors.safe_repr import describe_value
from ...actors.signatures import bind
from ..codec.json import exact_bytes
from ..in_flight.delivery import Delivery, DeliveryState
from ..in_flight.handover import wake
from ..in_flight.lane import Lane
from ..in_flight.stream import RESPONSE, Stream
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import HTTP_INTEGRATION, OCTET_STREAM, PRELUDE_END, chunk, header_value

# The handler waits while more bytes than this are unwritten.
BUFFER_LIMIT = 64 * 1024
# Lambda looks for the prelude's end in the first 16 KB (Lambda: response streaming).
PRELUDE_LIMIT = 16 * 1024


@attrs.frozen
class Prelude:
    """Status, headers and cookies of a streamed HTTP response; the first item of the stream.

        yield Prelude(404, headers={"content-type": "text/plain"})

    Args:
        status_code: an integer from 100 to 599; default 200.
        headers: names to values, one value each.
        cookies: values of `Set-Cookie` headers.

    Raises:
        TypeError: a header or a cookie is not a str.
        ValueError: the status is out of range, or the prelude is longer than 16 KB.
    """

    status_code: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    cookies: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        if self.status_code not in range(100, 600):
            raise ValueError(
                f"status_code must be from 100 to 599, got {describe_value(self.status_code)}"
            )
        texts: list[object] = [*self.headers, *self.headers.values(), *self.cookies]
        if isinstance(self.cookies, str) or not all(isinstance(text, str) for text in texts):
            raise TypeError("headers must map str to str, and cookies must be a list of str")
        if len(self.encoded()) + len(PRELUDE_END) > PRELUDE_LIMIT:
            raise ValueError(f"a prelude must not be longer than {PRELUDE_LIMIT} bytes")

    def encoded(self) -> bytes:
        """Encode the prelude as the Runtime API takes it."""
        fields: dict[str, object] = {
            "statusCode": self.status_code,
            "headers": dict(self.headers),
        }
        if self.cookies:
            fields["cookies"] = list(self.cookies)
        return _encoder.encode(fields).encode()


_encoder = JSONEncoder(ensure_ascii=False, separators=(",", ":"))

# A piece of a streamed response.
Piece = bytes | bytearray | memoryview | str
# A value that a streaming handler may yield or write.
Item = Piece | Prelude


class Response:
    """The response of a handler marked `@streaming`, written piece by piece.

    The response ends when the handler returns; the returned value is ignored.
    """

    __slots__ = ("_content_type", "_cut", "_delivery", "_lane", "_stream", "_worker", "at_once")

    def __init__(self, lane: Lane, delivery: Delivery, cut: Callable[[], None]) -> None:
        self._lane = lane
        self._delivery = delivery
        self._worker = delivery.worker
        self._content_type = OCTET_STREAM
        self._cut = cut
        self._stream: Stream | None = None
        # Whether `write` also writes to the connection, instead of the responder's task. Never on
        # the user's stack, which may be near the recursion limit (`okibi.runtime.in_flight.turns`).
        self.at_once = False

    @property
    def content_type(self) -> str:
        """The content type of the response; default `application/octet-stream`.

        Set it before the first write. With a Prelude, use the Prelude's headers instead.

        Raises:
            RuntimeError: the response has begun.
            ValueError: the value has more than one line.
        """
        return self._content_type.decode("latin-1")

    @content_type.setter
    def content_type(self, value: str) -> None:
        if self._stream is not None:
            raise RuntimeError("the response has begun: set content_type before the first write")
        self._content_type = header_value(value)

    async def write(self, data: Item) -> None:
        """Send a piece; waits while more than 64 KB are unwritten.

        After a cancellation the piece may or may not have been sent.

        Args:
            data: bytes, or str, which is sent as UTF-8. The first piece may be a Prelude.

        Raises:
            TypeError: data has another type, or is a Prelude after the first piece.
            UnicodeEncodeError: the str holds a lone surrogate.
            RuntimeError: the response has ended, or the invocation has another answer.
        """
        try:
            stream = await self._put(data)
        except Exception:
            # A handler that ignores the error and writes in a loop must not block the event loop.
            await trio.lowlevel.checkpoint()
            raise
        if self._sent(stream):
            await trio.lowlevel.checkpoint()
            return
        while True:
            await stream.wait_written()
            if self._lane.unwritten <= BUFFER_LIMIT or stream.end_reason or not self._is_open:
                return

    def _sent(self, stream: Stream) -> bool:
        """Have the responder send; whether little enough is unwritten for `write` to return."""
        # While the connection is blocked the responder waits for it, and needs no message.
        if not (stream.blocked or wake(self._lane.responder, now=self.at_once)):
            return False
        return self._lane.unwritten <= (BUFFER_LIMIT if stream.blocked else 0)

    # -- for `streaming_handlers`

    def finish(self) -> Outcome:
        """End the response without an error."""
        if self._stream is None:
            self._append(b"")
        return Outcome(b"")

    def finish_early(self) -> Outcome:
        """End the response while the handler goes on, which the end does not cancel."""
        outcome = self.finish()
        if self._stream is not None:
            self._stream.release_handler()
        return outcome

    @property
    def over(self) -> str:
        """The reason why the Runtime API takes no more pieces; empty while it takes them."""
        return self._stream.end_reason if self._stream is not None else ""

    @property
    def _is_open(self) -> bool:
        return self._delivery.state is DeliveryState.STREAMING

    async def _put(self, data: Item) -> Stream:
        self._check(data)
        while (begun := self._stream) is not None and self._lane.unwritten > BUFFER_LIMIT:
            # The last `write` was cancelled while it waited: wait before adding more.
            if begun.end_reason or not self._is_open:
                break
            await begun.wait_written()
        return self._append(data)

    def _check(self, data: object) -> None:
        if isinstance(data, Prelude):
            if self._stream is not None:
                raise TypeError("a Prelude must be the first piece of a streamed response")
        elif isinstance(data, str):
            if not data.isascii():
                data.encode()
        elif not isinstance(data, Piece):
            kind = type(data).__name__
            raise TypeError(
                f"a streamed response takes bytes and str, got {kind}: encode the value"
            )

    def _append(self, data: Item) -> Stream:
        if self._stream is not None:
            if not self._lane.append_to_stream(self._delivery, _chunks(data)):
                raise RuntimeError(f"the response has ended: {self._stream.end_reason}")
            return self._stream
        kind = HTTP_INTEGRATION if isinstance(data, Prelude) else self._content_type
        stream = Stream(self._cut)
        opened = self._lane.open_stream(self._delivery, self._worker, stream, kind, _chunks(data))
        if not opened:
            raise RuntimeError("this invocation is already answered")
        self._stream = stream
        return stream


def _chunks(data: Item) -> list[bytes]:
    if isinstance(data, Prelude):
        return [*chunk(data.encoded()), *chunk(PRELUDE_END)]
    if isinstance(data, str):
        # str.encode ignores a subclass's own encode; a proxy is not a subclass and needs its own.
        data = str.encode(data) if str in type(data).__mro__ else data.encode()
    return chunk(exact_bytes(data))


Marked = TypeVar("Marked", bound=Callable[[Any, Response, Any], Awaitable[object]])


def streaming(handler: Marked) -> Marked:
    """Mark an `async def handler(event, response, context)` as writing its response.

        @streaming
        async def handler(event, response, context):
            await response.write("one piece")

    Raises:
        TypeError: the handler is not an `async def`, or does not take three arguments.
    """
    marked: Any = handler
    if not inspect.iscoroutinefunction(marked):
        raise TypeError(
            f"@streaming needs an `async def`, got {describe_value(marked)}; "
            "a generator needs no mark"
        )
    try:
        bind(marked, None, None, None)
    except TypeError as error:
        raise TypeError(f"{marked.__name__} must take (event, response, context)") from error
    setattr(marked, RESPONSE, True)
    return handler
