"""Responses of Lambda's API."""

from collections.abc import Mapping
from typing import Any

import attrs

from ...invocation import new_request_id
from ...invoke_errors import InvokeError
from ..asgi import Send, send_body

__all__ = ["LambdaResponse", "error_response", "send_response"]


@attrs.frozen
class LambdaResponse:
    """A response of Lambda's API.

    Args:
        status: HTTP status.
        body: the whole body.
        headers: further headers.
        content_type: the media type of the body.
        request_id: X-Amzn-RequestId.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    content_type: str = "application/json"
    request_id: str = attrs.field(factory=new_request_id)

    def start(self, *, length: int | None = None) -> dict[str, Any]:
        """Return ASGI's message that starts the response.

        Args:
            length: bytes of the body; None for a stream.
        """
        headers = {
            "Content-Type": self.content_type,
            "X-Amzn-RequestId": self.request_id,
            **self.headers,
        }
        if length is not None and self.status != 204:
            headers["Content-Length"] = str(length)
        return {
            "type": "http.response.start",
            "status": self.status,
            "headers": [
                (name.lower().encode(), value.encode("latin-1", "replace"))
                for name, value in headers.items()
            ],
        }


def error_response(error: InvokeError) -> LambdaResponse:
    """Build AWS's response to a refused call."""
    headers = {"X-Amzn-ErrorType": error.error_type, **error.headers}
    return LambdaResponse(error.status, error.body(), headers)


async def send_response(send: Send, response: LambdaResponse) -> None:
    """Send a whole response."""
    await send(response.start(length=len(response.body)))
    await send_body(send, response.body)
