"""Decide whether a failed call is sent again, and when. Pure: the caller gives time and chance."""

__all__ = ["CLOCK_CODES", "EXPIRED_CODES", "wait_before_retry"]

# Seconds: the longest first wait after a failure, and after a refusal because of too many requests.
# Each further attempt doubles the limit, up to LONGEST_WAIT.
FIRST_WAIT = 0.05
THROTTLED_WAIT = 0.5
LONGEST_WAIT = 5.0
# Also the codes of a throttled service that answers HTTP 400.
THROTTLED_CODES = frozenset({
    "BandwidthLimitExceeded", "LimitExceededException", "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled",
    "RequestThrottledException", "SlowDown", "ThrottledException", "Throttling",
    "ThrottlingException", "TooManyRequestsException", "TransactionInProgressException",
})  # fmt: skip
TRANSIENT_CODES = frozenset({
    "Disconnected", "InternalServerError", "RequestTimeout", "RequestTimeoutException", "TimedOut",
    "Unreachable",
})  # fmt: skip
TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})
# The clock of this machine may be wrong: AWS accepts five minutes.
CLOCK_CODES = frozenset({
    "InvalidSignatureException", "RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
})  # fmt: skip
# Newer credentials may have been issued.
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException"})


def wait_before_retry(
    code: str, status: int | None, attempt: int, attempts: int, remaining: float, chance: float
) -> float | None:
    """Return the seconds to wait before the next attempt; None to give up.

    A wait is random between 0 and its limit, so that clients that failed together do not return
    together. A retry that cannot begin before the caller's deadline is not waited for.

    >>> wait_before_retry("ThrottlingException", 400, 1, 4, 60.0, 0.5)
    0.25
    >>> wait_before_retry("ThrottlingException", 400, 1, 4, 0.2, 0.5) is None
    True
    >>> wait_before_retry("ValidationException", 400, 1, 4, 60.0, 0.5) is None
    True

    Args:
        code: the code of the failure.
        status: the HTTP status of the answer; None without one.
        attempt: the number of the attempt that failed, from 1.
        attempts: the most attempts.
        remaining: seconds until the caller's deadline.
        chance: a random number from 0 to 1.
    """
    throttled = status == 429 or code in THROTTLED_CODES
    if not (throttled or code in TRANSIENT_CODES or status in TRANSIENT_STATUSES):
        return None
    first = THROTTLED_WAIT if throttled else FIRST_WAIT
    wait = chance * min(LONGEST_WAIT, first * 2 ** (attempt - 1))
    return wait if attempt < attempts and wait < remaining else None
