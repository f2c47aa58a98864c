"""What differs between function URLs, HTTP APIs, REST APIs and load balancers, as one value."""

from collections.abc import Callable
from typing import Any

import attrs

from ...limits import MAX_EVENT_SIZE
from .incoming_request import IncomingRequest
from .outgoing_response import OutgoingResponse
from .route_table import RouteMatch

__all__ = ["HttpService"]


def _no_remark(_: IncomingRequest) -> str:
    return ""


@attrs.frozen
class HttpService:
    """How one of AWS's services turns requests into events, and results into responses.

    Args:
        title: the name for the console.
        make_event: returns the event of a request.
        make_response: returns the response for the payload of a successful invocation; raises
            MalformedResult.
        malformed: the answer if the function's result is no response.
        failed: the answer if the function failed or timed out.
        throttled: the answer if the function takes no more events.
        too_large: the answer to a body or an event that is too large.
        late: the answer if the service itself stops waiting.
        answer_headers: returns the headers that the service adds to each response.
        remark_on: returns one line for the console about a request that the function cannot read as
            it was sent, or "".
        body_limit: bytes of a request's body at most.
        time_limit: seconds that the service waits for the function; None for no limit.
    """

    title: str
    make_event: Callable[[IncomingRequest, RouteMatch], dict[str, Any]]
    make_response: Callable[[bytes, IncomingRequest], OutgoingResponse]
    malformed: OutgoingResponse
    failed: OutgoingResponse
    throttled: OutgoingResponse
    too_large: OutgoingResponse
    late: OutgoingResponse
    answer_headers: Callable[[IncomingRequest], list[tuple[str, str]]]
    remark_on: Callable[[IncomingRequest], str] = _no_remark
    body_limit: int = MAX_EVENT_SIZE
    time_limit: float | None = None
