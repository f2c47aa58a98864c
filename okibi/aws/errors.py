"""The error of a call to AWS."""

from collections.abc import Mapping
from typing import Any

from ..actors import Refusal

__all__ = ["CallFailed"]


class CallFailed(Refusal):
    """AWS refused a call, or did not answer it.

        try:
            await aws.call("dynamodb", "PutItem", {...})
        except aws.CallFailed as error:
            if error.code != "ConditionalCheckFailedException":
                raise

    It is a Refusal: an actor that does not catch it answers its caller with it, and lives. The text
    has neither the parameters nor the credentials.

    Args:
        service, operation: the call, such as "dynamodb" and "GetItem".
        code: AWS's code, such as "ThrottlingException". Without an answer of the service it is one
            of "Unreachable" (no connection), "Disconnected" (the connection broke before the
            end of the answer), "TimedOut" and "NoCredentials". When a function that was invoked
            raised, the code is the type of its error.
        message: the message of the service.
        status: the HTTP status; None without an answer.
        request_id: AWS's identifier of the request, for its support; "" without an answer.
        answer: the whole answer, for example with DynamoDB's CancellationReasons.

    Attributes:
        attempts: how often the request was sent.
    """

    def __init__(
        self,
        service: str,
        operation: str,
        code: str,
        message: str = "",
        *,
        status: int | None = None,
        request_id: str = "",
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(service, operation, code, message)
        self.service = service
        self.operation = operation
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id
        self.answer: Mapping[str, Any] = answer or {}
        self.attempts = 1

    def __str__(self) -> str:
        parts = [f"HTTP {self.status}"] if self.status is not None else []
        parts += [f"request {self.request_id}"] if self.request_id else []
        parts += [f"{self.attempts} attempts"] if self.attempts > 1 else []
        details = f" ({', '.join(parts)})" if parts else ""
        message = f": {self.message}" if self.message else ""
        return f"{self.service} {self.operation}: {self.code}{message}{details}"
