"""The context object of an invocation: the official client's, attribute by attribute."""

import time
from typing import TYPE_CHECKING

import attrs

from .delivery import Delivery
from .settings import Settings

if TYPE_CHECKING:
    from .client import ClientContext, Identity


@attrs.define(eq=False, repr=False)
class Context:
    """What a handler can know of its invocation.

    Read what you need: nothing is computed before it is asked for.
    """

    _delivery: Delivery
    _settings: Settings

    @property
    def aws_request_id(self) -> str:
        """The invocation's id; an asynchronous event's repeats when it is retried."""
        return self._delivery.request_id

    @property
    def function_name(self) -> str:
        """The function's name."""
        return self._settings.function_name

    @property
    def function_version(self) -> str:
        """The function's version, `$LATEST` or a number."""
        return self._settings.function_version

    @property
    def memory_limit_in_mb(self) -> str:
        """The memory the function has, in MB; text, as in the official client."""
        return self._settings.memory

    @property
    def log_group_name(self) -> str:
        """Where its logs go."""
        return self._settings.log_group

    @property
    def log_stream_name(self) -> str:
        """Where this sandbox's logs go."""
        return self._settings.log_stream

    @property
    def invoked_function_arn(self) -> str:
        """The ARN it was invoked by, with alias or version."""
        return self._header(b"lambda-runtime-invoked-function-arn") or ""

    @property
    def tenant_id(self) -> str | None:
        """The tenant, for a function with tenant isolation."""
        return self._header(b"lambda-runtime-aws-tenant-id")

    @property
    def client_context(self) -> "ClientContext | None":
        """What the mobile SDK sent along, None without it."""
        text = self._header(b"lambda-runtime-client-context")
        if text is None:
            return None
        from .client import client_context

        return client_context(text)

    @property
    def identity(self) -> "Identity":
        """Who invoked by Cognito; always an object, empty without it."""
        from .client import identity

        return identity(self._header(b"lambda-runtime-cognito-identity") or "{}")

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the platform ends the invocation; 0 when that is past."""
        deadline = self._header(b"lambda-runtime-deadline-ms") or "0"
        return max(int(deadline) - int(time.time() * 1000), 0)

    def log(self, message: str) -> None:
        """Write to the function's log."""
        print(message, flush=True)

    def _header(self, name: bytes) -> str | None:
        # An empty header is an absent one (Runtime API: some modes send them so).
        value = self._delivery.headers.get(name)
        return value.decode("utf-8", "replace") if value else None

    def __repr__(self) -> str:
        return (
            f"Context(aws_request_id={self.aws_request_id!r}, function_name={self.function_name!r},"
            f" function_version={self.function_version!r})"
        )
