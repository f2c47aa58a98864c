"""When a queued event runs again, and when it is dropped (Lambda: asynchronous invocation).

Lambda's rules, and what `retry_delay` makes of them (60 on Lambda):

* After an error of the function, the event runs again: after `retry_delay` seconds, then after
  twice as long; at most `maximum_retry_attempts` times. Then it is dropped: RetriesExhausted.
* After a throttle (429) the event returns to the queue and uses up no retry. The pauses double,
  from 1 second to 5 minutes on Lambda; they are scaled with `retry_delay`.
* An event older than `maximum_event_age` is dropped: EventAgeExceeded. It is dropped early if its
  next attempt would come too late.
* A function with a reserved concurrency of 0 gets no events: ZeroReservedConcurrency.
"""

from enum import StrEnum

import attrs

from ...local.platform.invocation import Invocation
from ..dev_function import DevFunction

# Seconds before the first retry on Lambda.
LAMBDA_RETRY_DELAY = 60.0

FIRST_THROTTLE_PAUSE = 1 / LAMBDA_RETRY_DELAY
# Pauses after a throttle, as factors of the retry delay: 1 s and 5 minutes on Lambda.
LONGEST_THROTTLE_PAUSE = 300 / LAMBDA_RETRY_DELAY


class Condition(StrEnum):
    """The reason for a drop, as in the record of an on-failure destination (Lambda)."""

    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED_CONCURRENCY = "ZeroReservedConcurrency"


@attrs.frozen
class QueuedEvent:
    """An event that waits for its next attempt.

    Args:
        request_id: the request id of every attempt.
        payload: the event as JSON.
        accepted_at: the time of acceptance, in seconds since the epoch.
        attempts: the number of attempts that ended with an error of the function.
        throttles: the number of throttled attempts in a row.
        client_context: JSON text, or "".
        cognito_identity: JSON text, or "".
        tenant_id: the tenant, or "".
        trace_id: the X-Ray header, or "".
        content_type: the media type of the event.
        function_arn: the ARN that the invoker named, or "".
    """

    request_id: str
    payload: str
    accepted_at: float
    attempts: int = 0
    throttles: int = 0
    client_context: str = ""
    cognito_identity: str = ""
    tenant_id: str = ""
    trace_id: str = ""
    content_type: str = "application/json"
    function_arn: str = ""

    @classmethod
    def of(cls, invocation: Invocation, accepted_at: float) -> "QueuedEvent":
        """Make a queued event of an invocation.

        Raises:
            ValueError: the payload is not UTF-8.
        """
        try:
            payload = invocation.payload.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"payload must be JSON in UTF-8: {error}") from error
        return cls(
            invocation.request_id,
            payload,
            accepted_at,
            client_context=invocation.client_context,
            cognito_identity=invocation.cognito_identity,
            tenant_id=invocation.tenant_id,
            trace_id=invocation.trace_id,
            content_type=invocation.content_type,
            function_arn=invocation.function_arn,
        )

    def invocation(self, timeout: float) -> Invocation:
        """Make the invocation of the next attempt.

        Args:
            timeout: seconds from handing out the event to the kill.
        """
        return Invocation(
            self.payload.encode(),
            timeout,
            self.request_id,
            client_context=self.client_context,
            cognito_identity=self.cognito_identity,
            tenant_id=self.tenant_id,
            trace_id=self.trace_id,
            content_type=self.content_type,
            function_arn=self.function_arn,
        )


@attrs.frozen
class RetryPolicy:
    """The retry rules of a function (Lambda PutFunctionEventInvokeConfig).

    Args:
        maximum_retry_attempts: retries after an error of the function.
        maximum_event_age: seconds after which an event is dropped.
        reserved_concurrency: 0 drops all events.
        retry_delay: seconds before the first retry; 60 on Lambda.
    """

    maximum_retry_attempts: int = 2
    maximum_event_age: float = 21_600
    reserved_concurrency: int | None = None
    retry_delay: float = LAMBDA_RETRY_DELAY

    @classmethod
    def of(cls, function: DevFunction, retry_delay: float) -> "RetryPolicy":
        """Read the policy of a function."""
        return cls(
            function.maximum_retry_attempts,
            function.maximum_event_age,
            function.reserved_concurrency,
            retry_delay,
        )


@attrs.frozen
class RunAgain:
    """The event runs again.

    Args:
        event: the event, with its new counts.
        delay: seconds until then.
    """

    event: QueuedEvent
    delay: float


@attrs.frozen
class DropEvent:
    """The event does not run again. It goes to the on-failure file.

    Args:
        event: the event, with its new counts.
        condition: the reason for the drop.
    """

    event: QueuedEvent
    condition: Condition


def before_attempt(event: QueuedEvent, policy: RetryPolicy, now: float) -> DropEvent | None:
    """Return why an event must not be attempted; None if it may be.

    Args:
        event: the event.
        policy: the policy of its function.
        now: seconds since the epoch.
    """
    if policy.reserved_concurrency == 0:
        return DropEvent(event, Condition.ZERO_RESERVED_CONCURRENCY)
    if now - event.accepted_at > policy.maximum_event_age:
        return DropEvent(event, Condition.EVENT_AGE_EXCEEDED)
    return None


def after_failure(event: QueuedEvent, policy: RetryPolicy, now: float) -> RunAgain | DropEvent:
    """Decide after an attempt that ended with an error of the function.

    Args: see `before_attempt`.

    Example:
        >>> event = QueuedEvent("1", "{}", accepted_at=0.0)
        >>> after_failure(event, RetryPolicy(), now=1.0).delay
        60.0
    """
    event = attrs.evolve(event, attempts=event.attempts + 1, throttles=0)
    if event.attempts > policy.maximum_retry_attempts:
        return DropEvent(event, Condition.RETRIES_EXHAUSTED)
    return _run_again(event, policy.retry_delay * event.attempts, policy, now)


def after_throttle(event: QueuedEvent, policy: RetryPolicy, now: float) -> RunAgain | DropEvent:
    """Decide after an attempt that was throttled (429).

    Args: see `before_attempt`.
    """
    # 2**20 is far above the limit; a higher power may exceed a float.
    factor = min(FIRST_THROTTLE_PAUSE * 2 ** min(event.throttles, 20), LONGEST_THROTTLE_PAUSE)
    event = attrs.evolve(event, throttles=event.throttles + 1)
    return _run_again(event, policy.retry_delay * factor, policy, now)


def _run_again(
    event: QueuedEvent, delay: float, policy: RetryPolicy, now: float
) -> RunAgain | DropEvent:
    if now + delay - event.accepted_at > policy.maximum_event_age:
        return DropEvent(event, Condition.EVENT_AGE_EXCEEDED)
    return RunAgain(event, delay)
