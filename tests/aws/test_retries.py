"""The decision about a failed call."""

import pytest

from okibi.aws.retries import LONGEST_WAIT, wait_before_retry


@pytest.mark.parametrize(
    ("code", "status", "longest"),
    [
        ("ProvisionedThroughputExceededException", 400, 0.5),
        ("anything", 429, 0.5),
        ("anything", 503, 0.05),
        ("Unreachable", None, 0.05),
        ("ValidationException", 400, None),
        ("NoCredentials", None, None),
    ],
)
def test_what_may_pass_is_tried_again(code: str, status: int | None, longest: float | None) -> None:
    assert wait_before_retry(code, status, 1, 2, 60.0, 1.0) == longest


@pytest.mark.parametrize("attempt", range(1, 10))
def test_the_limit_of_a_wait_doubles_up_to_the_longest(attempt: int) -> None:
    wait = wait_before_retry("Throttling", 400, attempt, 10, 60.0, 1.0)

    assert wait == min(LONGEST_WAIT, 0.5 * 2 ** (attempt - 1))


def test_the_last_attempt_is_followed_by_none() -> None:
    assert wait_before_retry("Throttling", 400, 4, 4, 60.0, 0.0) is None


@pytest.mark.parametrize(("remaining", "expected"), [(0.25, None), (0.3, 0.25)])
def test_a_retry_begins_before_the_deadline_or_never(
    remaining: float, expected: float | None
) -> None:
    assert wait_before_retry("Throttling", 400, 1, 4, remaining, 0.5) == expected
