"""Run boto3 in threads, for the services that okibi.aws does not call.

boto3 is not imported here: an error of boto3's exists only where boto3 is imported already.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

import trio
from trio.lowlevel import RunVar

from .errors import CallFailed

__all__ = ["in_thread"]

P = ParamSpec("P")
R = TypeVar("R")

# boto3 keeps this many connections.
THREADS = 10
_limiter_of_run: RunVar[trio.CapacityLimiter] = RunVar("threads of boto3")


async def in_thread(method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a method of a boto3 client in a thread, and return its answer.

        S3 = boto3.client("s3")

        answer = await aws.in_thread(S3.get_object, Bucket="reports", Key="2026-12.csv")

    At most ten threads run at once; further calls wait. The caller's deadline ends the wait. The
    thread itself cannot be stopped: it goes on until boto3's own time limits, may still write, and
    occupies one of the ten until then. Give the client limits below the function's time-out; boto3
    applies them to each of its attempts.

    Args:
        method: a method of a client or resource. Clients may be shared by threads; resources,
            such as `Table`, may not.
        *args, **kwargs: the arguments of the method.

    Raises:
        CallFailed: boto3 raised a ClientError or a BotoCoreError, which is the `__cause__`.
    """
    try:
        limiter = _limiter_of_run.get()
    except LookupError:
        limiter = trio.CapacityLimiter(THREADS)
        _limiter_of_run.set(limiter)
    try:
        return await trio.to_thread.run_sync(
            partial(method, *args, **kwargs), limiter=limiter, abandon_on_cancel=True
        )
    except Exception as error:
        failed = _call_failed(method, error)
        if failed is None:
            raise
        raise failed from error


def _call_failed(method: Any, error: Any) -> CallFailed | None:
    exceptions = sys.modules.get("botocore.exceptions")
    if exceptions is None:
        return None
    service = type(getattr(method, "__self__", method)).__name__
    operation = getattr(method, "__name__", "call")
    if isinstance(error, exceptions.ClientError):
        answer: dict[str, Any] = error.response
        details, metadata = answer.get("Error", {}), answer.get("ResponseMetadata", {})
        failed = CallFailed(
            service,
            error.operation_name,
            str(details.get("Code", "Unknown")),
            str(details.get("Message", "")),
            status=metadata.get("HTTPStatusCode"),
            request_id=metadata.get("RequestId", ""),
            answer=answer,
        )
        failed.attempts = 1 + metadata.get("RetryAttempts", 0)
        return failed
    boto3 = sys.modules.get("boto3.exceptions")
    kinds = (exceptions.BotoCoreError, *([boto3.Boto3Error] if boto3 else ()))
    if isinstance(error, kinds):
        # The text of this error has the parameters, which may be secret.
        secret = isinstance(error, exceptions.ParamValidationError)
        text = "a parameter is wrong; __cause__ says which" if secret else str(error)
        return CallFailed(service, operation, type(error).__name__, text)
    return None
