"""Make a status fail the invocation: the option `fail_on` of the web adapters."""

# The checks below do not trust the annotations.
# pyright: reportUnnecessaryIsInstance=false
from collections.abc import Iterable

from ...supervisors.spec_error import wrong_value
from .http_request import HttpRequest

_RULE = "a set of HTTP statuses from 100 to 599, such as {500, 503}"


class StatusFailed(Exception):
    """The application has answered a request with a status of `fail_on`."""


def as_statuses(fail_on: Iterable[int]) -> frozenset[int]:
    """Return the statuses of `fail_on` as a set.

    Raises:
        SpecError: one is no integer from 100 to 599, or `fail_on` is no collection.
    """
    given: object = fail_on
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise wrong_value("fail_on", _RULE, given)
    statuses = tuple(fail_on)
    for status in statuses:
        if type(status) is not int or not 100 <= status <= 599:
            raise wrong_value("fail_on", _RULE, status)
    return frozenset(statuses)


def check_status(status: int, request: HttpRequest, fail_on: frozenset[int]) -> None:
    """Raise StatusFailed if a status has to fail the invocation."""
    if status in fail_on:
        raise StatusFailed(f"{request.method} {request.path} was answered {status}")
