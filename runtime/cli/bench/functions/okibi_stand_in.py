"""The user's function with a handler in its place that does nothing but return the same answer.

What a cycle of this takes is the runtime's own: the same module is imported, the same children
live, and a handler of the same kind (def, async def, Handler class with its event type, one that
streams) is called with the same event and gives back what the user's own gave. `_HANDLER` names
`handler` here, for okibi and for the official client: for a plain callable nothing of okibi's is
imported.
"""

import importlib
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

HANDLER, ANSWER = "OKIBI_BENCH_HANDLER", "OKIBI_BENCH_ANSWER"
"""Variables: whose place is taken, as `_HANDLER` has it; the file with the answer."""


def _read(path: str) -> object:
    said = Path(path).read_bytes()
    try:
        return json.loads(said)
    except ValueError:
        return said


def _find(named: str) -> Any:
    module, _, name = named.replace("/", ".").rpartition(".")
    return getattr(importlib.import_module(module), name)


def stand_in(target: Any, answer: Any) -> Any:
    """What is served in the place of a target.

    Args:
        target: what a handler string names: a Function, a Handler class, any callable.
        answer: what is given back for each event.
    """
    if callable(target) and not inspect.isclass(target):
        return _callable(target, answer)
    import attrs

    from runtime.function import Workers
    from runtime.load import as_function

    function = as_function(target)
    workers = function.handler
    if inspect.isclass(workers.handler):
        handle = _method(workers.handler, answer)
        # A class of the user's own below: his event type, his `init` and his `terminate` hold.
        stand: Any = type("StandIn", (workers.handler,), {"handle": handle})
    else:
        stand = _callable(workers.handler, answer)
    return attrs.evolve(function, handler=Workers(stand, workers.count))


def _callable(target: Any, answer: Any) -> Callable[[Any, Any], Any]:
    call = target if inspect.isroutine(target) else getattr(target, "__call__", target)  # noqa: B004
    if hasattr(target, "__okibi_response__"):
        return _writing(answer)
    if inspect.isasyncgenfunction(call):

        async def generate(event: Any, context: Any) -> Any:
            yield answer if isinstance(answer, bytes) else json.dumps(answer)

        return generate
    if inspect.isgeneratorfunction(call):

        def pieces(event: Any, context: Any) -> Any:
            yield answer if isinstance(answer, bytes) else json.dumps(answer)

        return pieces
    if inspect.iscoroutinefunction(call):

        async def coroutine(event: Any, context: Any) -> Any:
            return answer

        return coroutine

    def plain(event: Any, context: Any) -> Any:
        return answer

    return plain


def _writing(answer: Any) -> Callable[..., Any]:
    from runtime import streaming

    @streaming
    async def writing(event: Any, response: Any, context: Any) -> None:
        await response.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    return writing


def _method(target: Any, answer: Any) -> Callable[[Any, Any, Any], Any]:
    if inspect.isasyncgenfunction(target.handle):

        async def generate(self: Any, event: Any, context: Any) -> Any:
            yield answer if isinstance(answer, bytes) else json.dumps(answer)

        return generate

    async def handle(self: Any, event: Any, context: Any) -> Any:
        return answer

    return handle


if HANDLER in os.environ:
    handler = stand_in(_find(os.environ[HANDLER]), _read(os.environ[ANSWER]))
