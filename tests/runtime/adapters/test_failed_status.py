"""The option `fail_on` of the web adapters."""

from typing import Any

import pytest

from okibi.runtime.adapters.failed_status import StatusFailed, as_statuses, check_status
from okibi.runtime.adapters.http_request import read_request
from okibi.supervisors import SpecError

REQUEST = read_request(
    {
        "rawPath": "/orders",
        "requestContext": {"http": {"method": "POST"}, "accountId": "anonymous"},
    }
)


def test_a_status_of_fail_on_raises_and_names_the_request() -> None:
    with pytest.raises(StatusFailed, match=r"^POST /orders was answered 503$"):
        check_status(503, REQUEST, as_statuses({500, 503}))


def test_another_status_raises_nothing() -> None:
    check_status(404, REQUEST, as_statuses([500]))
    check_status(500, REQUEST, as_statuses(()))


@pytest.mark.parametrize(
    ("fail_on", "shown"),
    [(500, "500"), ("500", r"str\[3\]"), (None, "None"), ({99}, "99"), ({600}, "600"),
     ({True}, "True"), (["500"], r"str\[3\]")],
)  # fmt: skip
def test_fail_on_takes_a_set_of_statuses_only(fail_on: Any, shown: str) -> None:
    with pytest.raises(SpecError, match=f"^fail_on must be a set of .*, got {shown}$") as refused:
        as_statuses(fail_on)

    assert refused.value.field == "fail_on"
