"""Run the follow-ups of an event (`Context.after_response`) in its worker.

Imported with the first follow-up.
"""

import sys
from collections.abc import Awaitable, Callable

import trio

from ...actors import logs
from ...actors.exits import crash_in, is_a
from ..deadlines.where_it_stood import FOLLOW_UP, deadline_error_from_exception
from ..errors.exceptions import DeadlineExceeded, prefer_deadline
from ..in_flight.delivery import FOLLOWING_UP, Delivery
from ..in_flight.follow_ups import Call, name_of
from ..logs.lambda_log import log_error
from .event_scope import EventScope

logger = logs.logger("okibi")


async def run_follow_ups(
    delivery: Delivery,
    scope: EventScope,
    begin: Callable[[], bool],
    run: Callable[[Call], Awaitable[object]],
) -> None:
    """Wait for the Runtime API to have the response, then run the follow-ups until the deadline.

    Args:
        delivery: a settled delivery.
        scope: the worker's scope.
        begin: takes the delivery's step to FOLLOWING_UP; False if the follow-ups have been ended.
        run: runs a function.
    """
    follow_ups = delivery.follow_ups
    if follow_ups is None:
        return
    try:
        with scope.until(delivery.limit):
            await follow_ups.wait_answered()
    except trio.Cancelled:
        if scope.timed_out:
            return
        raise
    # A handler that has answered early has begun them.
    if delivery.state is not FOLLOWING_UP and not begin():
        return
    while trio.current_time() < delivery.limit and (call := follow_ups.begin_next()) is not None:
        try:
            with scope.until(delivery.limit):
                await run(call)
        except BaseException:
            if _is_late(scope):
                _log_late(delivery.request_id)
                return
            if crash_in(_current_error()) is None:
                # The worker itself is being stopped or killed.
                raise
            logger.exception("%s raised after the response", name_of(call))
        follow_ups.end_running()


def _is_late(scope: EventScope) -> bool:
    crash = crash_in(_current_error())
    return scope.timed_out if crash is None else is_a(prefer_deadline(crash), DeadlineExceeded)


def _log_late(request_id: str) -> None:
    log_error(deadline_error_from_exception(_current_error(), request_id, FOLLOW_UP).body)


def _current_error() -> BaseException:
    # No local variable: see the same function of `worker`.
    error = sys.exception()
    assert error is not None  # called within an except block
    return error
