"""Lambda's answers to a call that it refuses."""

from collections.abc import Mapping

import msgspec

# The service model spells this member of most errors `message`.
_CAPITAL_MESSAGE = frozenset({"ResourceNotFoundException", "ServiceException"})


class InvokeError(Exception):
    """The call is refused before the function sees an event (Lambda Invoke, Errors).

    Args:
        status: the HTTP status.
        error_type: Lambda's name of the error.
        message: a sentence for the caller.
        reason: why the call was throttled (`ThrottleReason`), or "".
        headers: further headers of the response.

    Example:
        raise InvokeError(404, "ResourceNotFoundException", f"Function not found: {arn}")
    """

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        *,
        reason: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.reason = reason
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """Return the body of the response: JSON."""
        name = "Message" if self.error_type in _CAPITAL_MESSAGE else "message"
        fields = {"Type": "User" if self.status < 500 else "Service", name: str(self)}
        if self.reason:
            fields["Reason"] = self.reason
        return msgspec.json.encode(fields)
