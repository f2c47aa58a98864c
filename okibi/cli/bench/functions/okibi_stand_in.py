"""The user's function with a handler in its place that does nothing but return the same answer.

What a cycle of this takes is the runtime's own: the same module is imported, the same children
live, and a handler of the same kind (def, async def, Handler class with its event type, one that
streams) is called with the same event and gives back what the user's own gave, a stream in the same
pieces. `_HANDLER` names `handler` here, for okibi and for the official client: there nothing of
okibi's is imported, and each handler is a plain one.

What a plain `def` returns is not known before it is called: for one that returns a generator or an
awaitable the answer itself is returned.
"""

import importlib
import inspect
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

HANDLER, ANSWER, PLAIN = "OKIBI_BENCH_HANDLER", "OKIBI_BENCH_ANSWER", "OKIBI_BENCH_PLAIN"
"""Variables: whose place is taken, as `_HANDLER` has it; the file with the answer's pieces; not
empty where whoever serves knows plain handlers alone."""


def _read(path: str) -> list[bytes]:
    return [piece.encode("latin-1") for piece in json.loads(Path(path).read_text("utf-8"))]


def _find(named: str) -> Any:
    module, _, name = named.replace("/", ".").rpartition(".")
    return getattr(importlib.import_module(module), name)


def stand_in(target: Any, pieces: Sequence[bytes]) -> Any:
    """What is served in the place of a target.

    Args:
        target: what a handler string names: a Function, a Handler class, any callable.
        pieces: what is given back for each event.
    """
    if os.environ.get(PLAIN):
        return _plain(pieces)
    if callable(target) and not inspect.isclass(target):
        return _callable(target, pieces)
    import attrs

    from okibi.runtime.handlers.function import Workers
    from okibi.runtime.startup.find_function import as_function

    function = as_function(target)
    workers = function.handler
    if inspect.isclass(workers.handler):
        # A class of the user's own below: his event type, his `init` and his `terminate` hold.
        body = {"handle": _method(workers.handler, pieces)}
        stand: Any = type("StandIn", (workers.handler,), body)
    else:
        stand = _callable(workers.handler, pieces)
    return attrs.evolve(function, handler=Workers(stand, workers.count))


def _value(pieces: Sequence[bytes]) -> Any:
    said = b"".join(pieces)
    try:
        return json.loads(said)
    except ValueError:
        return said


def _plain(pieces: Sequence[bytes]) -> Callable[[Any, Any], Any]:
    answer = _value(pieces)
    return lambda event, context: answer


def _callable(target: Any, pieces: Sequence[bytes]) -> Callable[..., Any]:
    from okibi.runtime.handlers.handler import is_async, streams, takes_response

    if takes_response(target):
        return _writing(pieces)
    if streams(target):
        # Of a method made a function: what it is a partial of tells that it streams.
        return partial(_generate(pieces), None)
    if is_async(target):
        answer = _value(pieces)

        async def coroutine(event: Any, context: Any) -> Any:
            return answer

        return coroutine
    call = getattr(target, "__call__", None)  # noqa: B004, it is looked at, not tested for
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
