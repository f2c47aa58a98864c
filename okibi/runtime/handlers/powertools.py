"""Find the decorators of Powertools for AWS Lambda that do not fit an `async def`.

Around an `async def` they get a coroutine in place of the result, and end before the handler runs.
`functools.wraps` gives a wrapper the module and the name of the handler, so the module of the
wrapper's code tells whose it is. Imported only if Powertools is.
"""

import inspect
from types import FunctionType
from typing import Any, NamedTuple, TypeGuard

from .handler import is_async

PACKAGE = "aws_lambda_powertools"


class Misfit(NamedTuple):
    """A decorator that does not fit, and what to do; `refused`: each event would fail."""

    refused: bool
    sentence: str


_TRACER = Misfit(
    False,
    "Powertools' capture_lambda_handler traces nothing of an `async def`: call "
    "okibi.telemetry.powertools.observe(tracer=tracer) instead",
)
_METRICS = Misfit(
    False,
    "Powertools' log_metrics sends the metrics of an `async def` with those of the next event: "
    "call okibi.telemetry.powertools.observe(metrics=metrics) instead",
)
_IDEMPOTENT = Misfit(
    True,
    "Powertools' idempotent fails around an `async def` and leaves its key in progress: decorate a "
    "plain `def` with idempotent_function, and call that in a thread",
)
_VALIDATOR = Misfit(
    True,
    "Powertools' validator cannot check the result of an `async def`: call validate(event=result, "
    "schema=...) in the handler",
)


def find_misfits(handler: object) -> list[Misfit]:
    """Find the decorators of Powertools that do not fit the `async def` in them."""
    layers: list[FunctionType] = []
    inner = handler
    while _is_layer(inner):
        layers.append(inner)
        inner = getattr(inner, "__wrapped__", None)
    # Each fits a plain `def`. A decorator of another library may run what it wraps.
    found = map(_judge, layers) if is_async(inner) else ()
    return [misfit for misfit in found if misfit is not None]


def _is_layer(function: object) -> TypeGuard[FunctionType]:
    """Return whether a function is a Powertools wrapper and no `async def`, which would await."""
    if not isinstance(function, FunctionType) or is_async(function):
        return False
    return _module(function).partition(".")[0] == PACKAGE


def _module(function: FunctionType) -> str:
    """Return the module of a function's code; `exec` may leave it out."""
    return str(function.__globals__.get("__name__"))


def _judge(layer: FunctionType) -> Misfit | None:
    """Return why a wrapper does not fit an `async def`; None if it does."""
    variables = inspect.getclosurevars(layer).nonlocals
    # Of `lambda_handler_decorator`, which Powertools uses for its own decorators too.
    middleware: Any = variables.get("decorator")
    module = _module(layer) if middleware is None else str(getattr(middleware, "__module__", ""))
    if module.startswith(f"{PACKAGE}.tracing"):
        return _TRACER
    if module.startswith(f"{PACKAGE}.metrics"):
        return _METRICS
    if module.startswith(f"{PACKAGE}.utilities.idempotency"):
        return _IDEMPOTENT
    if module.startswith(f"{PACKAGE}.utilities.validation"):
        return _VALIDATOR if variables.get("kwargs", {}).get("outbound_schema") else None
    if middleware is None or module.startswith(f"{PACKAGE}.") or is_async(middleware):
        return None
    name = getattr(middleware, "__name__", "middleware")
    return Misfit(
        False,
        f"{name}, a middleware of Powertools, ends before the `async def` in it runs: write "
        f"`async def {name}(handler, event, context)`, and await the handler",
    )
