"""The user's function with a stand-in handler, which only returns the saved answer.

The time of a stand-in's cycle is the runtime's own time. The user's module is imported and its
children run. The stand-in is of the same kind as the user's handler: def, async def, Handler class
with its event type, or streaming. It returns the saved answer, a stream in the same pieces.

`_HANDLER` names `handler` in this module, for okibi and for the official client. Under the official
client okibi is not imported, and each stand-in is a plain `def`.

The kind of a plain `def` is unknown before a call: a stand-in for a `def` that returns a generator
or an awaitable returns the answer itself.
"""

import importlib
import inspect
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

# Environment variables: the user's handler; the file with the pieces of the answer; not empty if
# the runtime supports plain handlers only.
HANDLER, ANSWER, PLAIN = "OKIBI_BENCH_HANDLER", "OKIBI_BENCH_ANSWER", "OKIBI_BENCH_PLAIN"


def _read(path: str) -> list[bytes]:
    return [piece.encode("latin-1") for piece in json.loads(Path(path).read_text("utf-8"))]


def _find(named: str) -> Any:
    module, _, name = named.replace("/", ".").rpartition(".")
    return getattr(importlib.import_module(module), name)


def stand_in(target: Any, pieces: Sequence[bytes]) -> Any:
    """Make the stand-in for a handler.

    Args:
        target: a Function, a Handler class, or a callable.
        pieces: the pieces of the answer.
    """
    if os.environ.get(PLAIN):
        return _plain(pieces)
    import attrs

    from okibi.runtime.handlers.function import Function, Workers
    from okibi.runtime.startup.find_function import as_function

    if callable(target) and not inspect.isclass(target) and not isinstance(target, Function):
        return _callable(target, pieces)
    function = as_function(target)
    workers = function.handler
    if inspect.isclass(workers.handler):
        # A subclass of the user's class keeps the event type, `init` and `terminate`.
        body = {"handle": _method(workers.handler, pieces)}
        stand: Any = type("StandIn", (workers.handler,), body)
    else:
        stand = _callable(workers.handler, pieces)
    return attrs.evolve(function, handler=Workers(stand, workers.count))


def _value(pieces: Sequence[bytes]) -> Any:
    answer = b"".join(pieces)
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def _plain(pieces: Sequence[bytes]) -> Callable[[Any, Any], Any]:
    answer = _value(pieces)
    return lambda event, context: answer


def _callable(target: Any, pieces: Sequence[bytes]) -> Callable[..., Any]:
    from okibi.runtime.handlers.handler import is_async, streams, takes_response

    if takes_response(target):
        return _writing(pieces)
    if streams(target):
        # A partial of a three-argument method: the wrapped function shows that it streams.
        return partial(_generate(pieces), None)
    if is_async(target):
        answer = _value(pieces)

        async def coroutine(event: Any, context: Any) -> Any:
            return answer

        return coroutine
    call = getattr(target, "__call__", None)  # noqa: B004 - inspected, not tested
    if inspect.isgeneratorfunction(target) or inspect.isgeneratorfunction(call):

        def generate(event: Any, context: Any) -> Any:
            yield from pieces

        return generate
    return _plain(pieces)


def _writing(pieces: Sequence[bytes]) -> Callable[..., Any]:
    from okibi.runtime import streaming

    @streaming
    async def writing(event: Any, response: Any, context: Any) -> None:
        for piece in pieces:
            await response.write(piece)

    return writing


def _generate(pieces: Sequence[bytes]) -> Callable[[Any, Any, Any], Any]:
    async def generate(self: Any, event: Any, context: Any) -> Any:
        for piece in pieces:
            yield piece

    return generate


def _method(target: Any, pieces: Sequence[bytes]) -> Callable[[Any, Any, Any], Any]:
    from okibi.runtime.handlers.handler import streams

    if streams(target):
        return _generate(pieces)
    answer = _value(pieces)

    async def handle(self: Any, event: Any, context: Any) -> Any:
        return answer

    return handle


if HANDLER in os.environ:
    handler = stand_in(_find(os.environ[HANDLER]), _read(os.environ[ANSWER]))
