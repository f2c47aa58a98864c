"""Call AWS's services on trio.

Theory of operation. `services` turns a call into a request. Each attempt takes credentials, signs
the request with the time of the attempt, and sends it on a kept connection. `retries` decides about
a failure. A client has settings only. All that lasts belongs to one run of trio, and all clients
share it: connections, fetched credentials, the difference between this machine's clock and AWS's.

Rejected: an actor for the connections. A call would cost two more turns of the loop, and would need
a child in the tree. Rejected: httpx, whose import takes longer than the whole of this package.
"""

import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import RunVar, in_trio_run, spawn_system_task

from .answers import current_answer
from .connection import Connections, Endpoint, TransportFailed, parse_endpoint
from .credential_source import CredentialSource
from .credentials import NoCredentials
from .errors import CallFailed
from .retries import CLOCK_CODES, EXPIRED_CODES, wait_before_retry
from .services import (
    Request,
    Service,
    build_request,
    check_region,
    find_service,
    host_of,
    read_answer,
)
from .sigv4 import sign

if TYPE_CHECKING:
    import ssl

__all__ = ["Client", "call", "pages"]

# Seconds: AWS refuses a signature that is five minutes off.
CLOCK_TOLERANCE = 60.0
# The field of an answer that says where the next page begins, and the parameter that takes it.
PAGE_TOKENS = (
    # First: the answer of ExecuteStatement has LastEvaluatedKey, too.
    ("NextToken", "NextToken"),
    ("nextToken", "nextToken"),
    ("LastEvaluatedKey", "ExclusiveStartKey"),
    ("LastEvaluatedTableName", "ExclusiveStartTableName"),
    ("LastEvaluatedBackupArn", "ExclusiveStartBackupArn"),
    ("PaginationToken", "PaginationToken"),
    ("NextMarker", "Marker"),
)


class Client:
    """A client with settings of its own; `aws.call` is the method of a client without any.

        PARIS = aws.Client(region="eu-west-3")
        answer = await PARIS.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": "hello"})

    It has settings only, and is made once, in a module: clients with the same settings share their
    connections, which stay open until trio ends. Any number of tasks may call at once.

    Args:
        region: the region; else AWS_REGION, AWS_DEFAULT_REGION, or the profile's region.
        endpoint: the URL of all services; else AWS_ENDPOINT_URL_DYNAMODB and its like,
            AWS_ENDPOINT_URL, or AWS's own.
        tls: TLS settings; else the roots in the file AWS_CA_BUNDLE, or the system's.
        connections: the most connections to a service at once; further calls wait for one.
        attempts: how often a call is sent at most.

    Raises:
        ValueError: `region` is no name of a region, `endpoint` no URL without a path, or a number
            is below 1.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        tls: "ssl.SSLContext | None" = None,
        connections: int = 10,
        attempts: int = 4,
    ) -> None:
        if region is not None:
            check_region(region)
        if endpoint is not None:
            parse_endpoint(endpoint)
        if connections < 1 or attempts < 1:
            raise ValueError(
                f"connections and attempts are >= 1, got {connections!r} and {attempts!r}"
            )
        self._region = region
        self._endpoint = endpoint
        self._tls = tls
        self._limit = connections
        self._attempts = attempts

    def __repr__(self) -> str:
        return f"<aws.Client {self._region or 'of the default region'}>"

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, /
    ) -> dict[str, Any]:
        """Call an operation of a service, and return its answer.

            await aws.call("ssm", "GetParameter", {"Name": "/shop/currency"})

        The services are those of `okibi.aws.services`, by boto3's names; operations and parameters
        are AWS's, as in boto3's documentation. Bytes are sent as base64, and arrive as base64. A
        time is a number of seconds. A call that is cancelled may have been carried out.

        A throttled or failed call is sent again after a random wait, if the wait ends before the
        caller's deadline.

        Args:
            service: the service, such as "dynamodb".
            operation: the operation, such as "GetItem".
            parameters: its parameters.

        Raises:
            CallFailed: the service refused or did not answer.
            RuntimeError: this code does not run on trio.
            TypeError: a parameter is not JSON.
            ValueError: okibi does not call this service, or the region or the endpoint in the
                environment is missing or wrong.
        """
        request = build_request(service, operation, parameters or {})
        state, attempt, corrected = _state_of_run(), 0, False
        while True:
            attempt += 1
            # Fetched before the attempt; its own fetch counts as the first.
            fetches = max(1, state.credentials.fetches)
            try:
                return await self._attempt(state, service, operation, request, parameters)
            except CallFailed as error:
                error.attempts = attempt
                if not corrected and state.corrected_by(error, fetches):
                    corrected = True
                    continue
                if _is_stale(error) and attempt < self._attempts:
                    continue
                wait = self._wait_before_retry(error)
                if wait is None:
                    raise
            await trio.sleep(wait)

    async def pages(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, /
    ) -> AsyncIterator[dict[str, Any]]:
        """Call an operation for each page of its result, and yield the answers.

            async for page in aws.pages("dynamodb", "Query", {...}):
                for item in page["Items"]: ...

        The next page is asked for when it is wanted. The arguments and errors are those of `call`.
        """
        given = dict(parameters or {})
        while True:
            answer = await self.call(service, operation, given)
            yield answer
            for field, parameter in PAGE_TOKENS:
                if answer.get(field):
                    given[parameter] = answer[field]
                    break
            else:
                return

    # -- one attempt

    async def _attempt(
        self,
        state: "_State",
        service: str,
        operation: str,
        request: Request,
        parameters: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        answer = current_answer()
        if answer is not None:
            await trio.lowlevel.checkpoint()
            given: Any = json.loads(request.body) if request.path == "/" else dict(parameters or {})
            found = answer(service, operation, given)
            return await found if isinstance(found, Awaitable) else found
        row = find_service(service)
        try:
            region = self._region or state.find_region()
            endpoint = self._endpoint_of(row, region)
            credentials = await state.credentials.get()
            headers = {"host": endpoint.authority, **request.headers}
            now = time.time() + state.clock_offset
            sign(credentials, (region, row.signing_name), request.method, request.path,
                 request.query, headers, request.body, now)  # fmt: skip
            connections = state.connections_to(endpoint, self._limit, self._tls)
            response = await connections.exchange(_encode(request, headers), request.silence)
        except NoCredentials as error:
            raise CallFailed(service, operation, "NoCredentials", str(error)) from None
        except TransportFailed as error:
            raise CallFailed(service, operation, error.code, str(error)) from error
        state.note_date(response.headers.get(b"date"))
        return read_answer(service, operation, response.status, response.headers, response.body)

    def _wait_before_retry(self, error: CallFailed) -> float | None:
        if "FunctionError" in error.answer:
            # The invoked function raised: its error may have a name of AWS's.
            return None
        from random import random

        remaining = trio.current_effective_deadline() - trio.current_time()
        return wait_before_retry(
            error.code, error.status, error.attempts, self._attempts, remaining, random()
        )

    def _endpoint_of(self, service: Service, region: str) -> Endpoint:
        url = (
            self._endpoint
            or os.environ.get(f"AWS_ENDPOINT_URL_{service.variable}")
            or os.environ.get("AWS_ENDPOINT_URL")
            or f"https://{host_of(service, region)}"
        )
        return parse_endpoint(url)


class _State:
    """What all clients keep during one run of trio.

    Attributes:
        credentials: the credentials.
        clock_offset: seconds by which AWS's clock is ahead of this machine's.
    """

    def __init__(self) -> None:
        self.credentials = CredentialSource()
        self.clock_offset = 0.0
        self._connections: dict[tuple[Endpoint, int, ssl.SSLContext | None], Connections] = {}
        self._region = ""
        self._date: bytes | None = None

    def find_region(self) -> str:
        """Return the region of the environment or of the profile."""
        found = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or self._region
        if not found:
            from .profiles import read_region

            found = self._region = read_region(os.environ) or ""
        if not found:
            raise ValueError("no region: set AWS_REGION, or give aws.Client(region=...)")
        check_region(found)
        return found

    def connections_to(
        self, endpoint: Endpoint, limit: int, tls: "ssl.SSLContext | None"
    ) -> Connections:
        """Return the connections to an endpoint with these settings."""
        found = self._connections.get((endpoint, limit, tls))
        if found is None:
            found = Connections(endpoint, limit, tls)
            self._connections[endpoint, limit, tls] = found
        return found

    def note_date(self, date: bytes | None) -> None:
        """Keep the header Date of an answer."""
        self._date = date

    def corrected_by(self, error: CallFailed, fetches: int) -> bool:
        """Return whether the cause of a refusal is corrected, so that the call is sent again.

        Args:
            error: the refusal.
            fetches: the number of fetches of credentials before the attempt.
        """
        if "FunctionError" in error.answer:
            return False
        if error.code in EXPIRED_CODES:
            return self.credentials.forget(fetches)
        if error.code not in CLOCK_CODES or self._date is None:
            return False
        from email.utils import parsedate_to_datetime

        try:
            offset = parsedate_to_datetime(self._date.decode()).timestamp() - time.time()
        except ValueError:
            return False
        is_off = abs(offset - self.clock_offset) > CLOCK_TOLERANCE
        if is_off:
            self.clock_offset = offset
        return is_off

    async def close_at_end(self) -> None:
        """Close the idle connections at the end of the run."""
        try:
            await trio.sleep_forever()
        finally:
            for connections in self._connections.values():
                connections.close_idle()


_state: RunVar[_State] = RunVar("state of okibi.aws")


def _state_of_run() -> _State:
    if not in_trio_run():
        raise RuntimeError(
            "okibi.aws is called on trio: in a thread use trio.from_thread.run(aws.call, ...), "
            "on okibi's asyncio loop use `await from_asyncio.run(aws.call, ...)`"
        )
    try:
        return _state.get()
    except LookupError:
        state = _State()
        _state.set(state)
        spawn_system_task(state.close_at_end, name="connections of okibi.aws")
        return state


def _encode(request: Request, headers: Mapping[str, str]) -> bytes:
    target = f"{request.path}?{request.query}" if request.query else request.path
    lines = [f"{name}: {text}\r\n" for name, text in headers.items()]
    head = f"{request.method} {target} HTTP/1.1\r\n{''.join(lines)}"
    return f"{head}content-length: {len(request.body)}\r\n\r\n".encode() + request.body


def _is_stale(error: CallFailed) -> bool:
    """Return whether a connection failed that was kept, as after a freeze."""
    return isinstance(error.__cause__, TransportFailed) and error.__cause__.stale


_default = Client()
call = _default.call
pages = _default.pages
