"""The options that the web adapters share."""

from typing import Any

from ...supervisors.spec_error import wrong_value
from .http_request import HttpRequest, NoHttpRequest, read_request
from .other_events import Other


def check_base_path(base_path: object) -> None:
    """Raise SpecError if `base_path` is neither empty nor a path such as `/shop`."""
    if base_path == "":
        return
    if not isinstance(base_path, str) or base_path[0] != "/" or base_path[-1] == "/":
        raise wrong_value("base_path", "like '/shop' or empty", base_path)


def read_or_pass_on(event: Any, base_path: str, other: Other | None) -> HttpRequest | Other:
    """Read the request out of an event; return `other` for an event that is no HTTP request.

    Raises:
        NoHttpRequest: the event is no HTTP request, and `other` is None; or it lacks a field of its
            service.
    """
    try:
        return read_request(event, base_path)
    except NoHttpRequest:
        if other is None:
            raise
        return other
    except (LookupError, TypeError, AttributeError) as error:
        # An event that was written or shortened by hand.
        raise NoHttpRequest(
            f"the HTTP request cannot be read out of this event ({type(error).__name__}: {error}): "
            "`okibi event function-url --path /` prints a whole one"
        ) from error
