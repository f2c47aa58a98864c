"""Call AWS by boto3."""

import importlib
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import attrs
import trio

from ..project.bad_input import BadInput

T = TypeVar("T")

MISSING = "boto3 is not installed; run: pip install 'okibi[deploy]'"
NO_REGION = "no AWS region; give --region, as in --region eu-central-1"
NO_CREDENTIALS = (
    "AWS accepts no request without credentials; run `aws configure`, or set AWS_PROFILE"
)
# An emulator on this machine: never the user's own credentials, and any region will do.
EMULATOR_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
EMULATOR_REGION = "us-east-1"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Seconds; no function runs longer.
READ_TIMEOUT = 5500
# Seconds in which an emulator begins to listen. `uvx` may have to download it first.
START_LIMIT = 30.0


class AwsError(Exception):
    """AWS refused a request.

    Args:
        code: AWS's name of the error, such as `ValidationError`.
        message: AWS's text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def is_emulator(endpoint_url: str | None) -> bool:
    """Whether an address is on this machine, as an emulator's.

    >>> is_emulator("http://127.0.0.1:4566"), is_emulator("https://vpce-1.amazonaws.com")
    (True, False)
    """
    return urlsplit(endpoint_url or "").hostname in LOOPBACK


def parse_endpoint(endpoint_url: str) -> tuple[str, int]:
    """Parse the address of --endpoint-url.

    Returns:
        Host and port.

    Raises:
        BadInput: the text is no address of a server.

    >>> parse_endpoint("http://127.0.0.1:4566")
    ('127.0.0.1', 4566)
    """
    try:
        parts = urlsplit(endpoint_url)
        default = {"http": 80, "https": 443}[parts.scheme]
        port = default if parts.port is None else parts.port
    except (KeyError, ValueError):
        parts, port = urlsplit(""), 0
    if not parts.hostname or not port:
        raise BadInput(
            f"--endpoint-url {endpoint_url}: must be http:// or https://, a host and its port, as"
            " in http://127.0.0.1:4566"
        )
    return parts.hostname, port


def wait_for_emulator(
    endpoint_url: str, report: Callable[[str], None], limit: float = START_LIMIT
) -> None:
    """Wait until an emulator on this machine listens: it may have been started just before.

    Args:
        endpoint_url: the address; any address that is not on this machine is not waited for.
        report: takes a line if there is something to wait for.
        limit: seconds.

    Raises:
        BadInput: nothing listens at the address in time.
    """
    address = parse_endpoint(endpoint_url)
    if not is_emulator(endpoint_url):
        return
    end, told = time.monotonic() + limit, False
    while not _listens(address):
        if not told:
            report(f"waiting for {endpoint_url} ...")
            told = True
        if time.monotonic() > end:
            raise BadInput(_nothing_listens(endpoint_url))
        time.sleep(0.1)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        # The request that follows says what is wrong.
        return True
    return True


def _nothing_listens(endpoint_url: str) -> str:
    return (
        f"nothing listens at {endpoint_url}; is the emulator running, and is this its port"
        " (GATEWAY_PORT of MiniStack)?"
    )


@attrs.define(eq=False)
class Aws:
    """AWS, as one account and region.

    Args:
        region: the region.
        session: the session of boto3.
        endpoint_url: an emulator's address in place of AWS's.
    """

    region: str
    _session: Any
    _endpoint_url: str | None = None
    _clients: dict[str, Any] = attrs.field(init=False, factory=dict[str, Any])

    def call(self, service: str, operation: str, **parameters: object) -> Mapping[str, Any]:
        """Call an operation, such as `call("sts", "get_caller_identity")`.

        Raises:
            AwsError: AWS refused.
            BadInput: AWS cannot be reached, or there are no credentials.
        """
        with _translate_errors(self._endpoint_url):
            answer = getattr(self._client(service), operation)(**parameters)
        return cast("Mapping[str, Any]", answer)

    def pages(
        self, service: str, operation: str, **parameters: object
    ) -> Sequence[Mapping[str, Any]]:
        """Call an operation that answers in pages. Raises as `call`."""
        with _translate_errors(self._endpoint_url):
            return [*self._client(service).get_paginator(operation).paginate(**parameters)]

    def wait(
        self, service: str, waiter: str, *, pause: float, limit: float, **parameters: object
    ) -> None:
        """Wait until a waiter of boto3 has succeeded or failed; the caller then reads the state.

        Args:
            service: a service of boto3, such as `cloudformation`.
            waiter: a waiter of the service, such as `stack_create_complete`.
            pause: seconds between two questions.
            limit: seconds after which the waiter has failed.
            parameters: the parameters of the waiter. Errors are raised as by `call`.
        """
        errors = importlib.import_module("botocore.exceptions")
        config = {"Delay": pause, "MaxAttempts": round(limit / pause)}
        with _translate_errors(self._endpoint_url), suppress(errors.WaiterError):
            self._client(service).get_waiter(waiter).wait(WaiterConfig=config, **parameters)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            config = importlib.import_module("botocore.config").Config(
                # An emulator has no name for each bucket.
                s3={"addressing_style": "path" if self._endpoint_url else "auto"},
                read_timeout=READ_TIMEOUT if service == "lambda" else 60,
                # A second attempt would invoke the function twice.
                retries={"mode": "standard", "total_max_attempts": 1 if service == "lambda" else 5},
            )
            self._clients[service] = self._session.client(
                service, region_name=self.region, endpoint_url=self._endpoint_url, config=config
            )
        return self._clients[service]


@contextmanager
def _translate_errors(endpoint_url: str | None) -> Generator[None]:
    """Raise AwsError or BadInput for the errors of boto3."""
    errors = importlib.import_module("botocore.exceptions")
    try:
        yield
    except errors.ClientError as error:
        told = error.response.get("Error", {})
        raise AwsError(told.get("Code", "Unknown"), told.get("Message", str(error))) from error
    except (errors.NoCredentialsError, errors.PartialCredentialsError) as error:
        raise BadInput(NO_CREDENTIALS) from error
    except errors.EndpointConnectionError as error:
        raise BadInput(_cannot_connect(endpoint_url, str(error))) from error
    except errors.BotoCoreError as error:
        raise BadInput(str(error)) from error


def _cannot_connect(endpoint_url: str | None, said: str) -> str:
    """Describe a server that cannot be reached."""
    if endpoint_url is not None and is_emulator(endpoint_url):
        return _nothing_listens(endpoint_url)
    return f"{said}; check the {'address' if endpoint_url else 'region'} and the network"


def connect(region: str | None, endpoint_url: str | None = None) -> Aws:
    """Choose the region and the credentials.

    Args:
        region: the AWS region; None for the choice of the AWS SDK.
        endpoint_url: an emulator's address in place of AWS's.

    Raises:
        BadInput: boto3 is not installed, there is no region, or the address is none.
    """
    if endpoint_url is not None:
        parse_endpoint(endpoint_url)
    try:
        boto3 = importlib.import_module("boto3")
    except ImportError as error:
        raise BadInput(MISSING) from error
    emulated = is_emulator(endpoint_url)
    region = region or (EMULATOR_REGION if emulated else None)
    keys = EMULATOR_KEYS if emulated else {}
    try:
        session = boto3.session.Session(region_name=region, **keys)
    except Exception as error:
        # botocore's ProfileNotFound, for example.
        raise BadInput(str(error)) from error
    if not session.region_name:
        raise BadInput(NO_REGION)
    return Aws(session.region_name, session, endpoint_url)


def call_in_thread(work: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """Let Ctrl-C end a command that waits for AWS; report AWS's refusal in one line.

    Args:
        work: calls AWS.
    """

    def run() -> T:
        try:
            return work()
        except AwsError as error:
            raise BadInput(f"AWS: {error.message} ({error.code})") from error

    async def wait() -> T:
        return await trio.to_thread.run_sync(run, abandon_on_cancel=True)

    return wait
