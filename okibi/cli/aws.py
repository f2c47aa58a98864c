"""Call AWS by boto3, or by the AWS CLI if boto3 is not installed."""

import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import attrs
import trio

from .arguments import BadInput

__all__ = [
    "Aws",
    "AwsError",
    "call_in_thread",
    "connect",
    "is_emulator",
    "parse_endpoint",
    "wait_for_emulator",
]

MISSING = "needs boto3 or the AWS CLI; run: pip install 'okibi[deploy]'"
NO_REGION = "no AWS region; give --region, as in --region eu-central-1"
NO_CREDENTIALS = (
    "AWS accepts no request without credentials; run `aws configure`, or set AWS_PROFILE"
)
# An emulator on this machine: never the user's own credentials, and any region will do.
EMULATOR_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
EMULATOR_REGION = "us-east-1"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
READ_TIMEOUT = 5500
"""Seconds; no function runs longer."""
START_LIMIT = 30.0
"""Seconds in which an emulator begins to listen. `uvx` may have to download it first."""


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


class Aws(Protocol):
    """AWS, as one account and region."""

    region: str

    def call(self, service: str, operation: str, **parameters: object) -> Mapping[str, Any]:
        """Call an operation, such as `call("sts", "get_caller_identity")`.

        Raises:
            AwsError: AWS refused.
            BadInput: AWS cannot be reached, or there are no credentials.
        """
        ...

    def upload(self, bucket: str, key: str, content: bytes, owner: str = "") -> None:
        """Write an object to S3. Raises as `call`.

        Args:
            bucket, key, content: the object.
            owner: the account that must own the bucket; empty for any.
        """
        ...

    def invoke(self, function: str, event: bytes) -> tuple[Mapping[str, Any], bytes]:
        """Invoke a function and ask for the end of its log.

        Returns:
            Lambda's answer, and the payload. Raises as `call`.
        """
        ...


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


def connect(region: str | None, endpoint_url: str | None = None) -> Aws:
    """Choose boto3 or the AWS CLI, and the region.

    Args:
        region: None: as the AWS SDKs find it.
        endpoint_url: an emulator's address in place of AWS's.

    Raises:
        BadInput: neither is installed, there is no region, or the address is none.
    """
    if endpoint_url is not None:
        parse_endpoint(endpoint_url)
    emulated = is_emulator(endpoint_url)
    region = region or (EMULATOR_REGION if emulated else None)
    try:
        boto3 = importlib.import_module("boto3")
    except ImportError:
        program = shutil.which("aws")
        if program is None:
            raise BadInput(MISSING) from None
        return AwsCli(_find_region_of_cli(program, region), program, endpoint_url)
    keys = {name.lower(): value for name, value in EMULATOR_KEYS.items()} if emulated else {}
    try:
        session = boto3.session.Session(region_name=region, **keys)
    except Exception as error:
        # botocore's ProfileNotFound, for example.
        raise BadInput(str(error)) from error
    if not session.region_name:
        raise BadInput(NO_REGION)
    return Boto3(session.region_name, session, endpoint_url)


def call_in_thread(work: Callable[[], int]) -> Callable[[], Awaitable[int]]:
    """Let Ctrl-C end a command that waits for AWS; report AWS's refusal in one line.

    Args:
        work: calls AWS and returns the exit code.
    """

    def run() -> int:
        try:
            return work()
        except AwsError as error:
            raise BadInput(f"AWS: {error.message} ({error.code})") from error

    async def wait() -> int:
        return await trio.to_thread.run_sync(run, abandon_on_cancel=True)

    return wait


@attrs.define(eq=False)
class Boto3:
    """AWS by boto3."""

    region: str
    _session: Any
    _endpoint_url: str | None = None
    _clients: dict[str, Any] = attrs.field(init=False, factory=dict[str, Any])

    def call(self, service: str, operation: str, **parameters: object) -> Mapping[str, Any]:
        exceptions = importlib.import_module("botocore.exceptions")
        try:
            answer = getattr(self._client(service), operation)(**parameters)
        except exceptions.ClientError as error:
            told = error.response.get("Error", {})
            raise AwsError(told.get("Code", "Unknown"), told.get("Message", str(error))) from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise BadInput(NO_CREDENTIALS) from error
        except exceptions.EndpointConnectionError as error:
            raise BadInput(_cannot_connect(self._endpoint_url, str(error))) from error
        except exceptions.BotoCoreError as error:
            raise BadInput(str(error)) from error
        return cast("Mapping[str, Any]", answer)

    def upload(self, bucket: str, key: str, content: bytes, owner: str = "") -> None:
        expected = {"ExpectedBucketOwner": owner} if owner else {}
        self.call("s3", "put_object", Bucket=bucket, Key=key, Body=content, **expected)

    def invoke(self, function: str, event: bytes) -> tuple[Mapping[str, Any], bytes]:
        answer = self.call("lambda", "invoke", FunctionName=function, Payload=event, LogType="Tail")
        return answer, answer["Payload"].read()

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


@attrs.define(eq=False)
class AwsCli:
    """AWS by the AWS CLI, version 1 or 2."""

    region: str
    _program: str
    _endpoint_url: str | None = None

    def call(self, service: str, operation: str, **parameters: object) -> Mapping[str, Any]:
        # In a file that only this user can read: other users see a command's arguments.
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder) / "input.json"
            given.write_text(json.dumps(parameters), "utf-8")
            name = "s3api" if service == "s3" else service
            return self._run(name, operation.replace("_", "-"), "--cli-input-json", given.as_uri())

    def upload(self, bucket: str, key: str, content: bytes, owner: str = "") -> None:
        expected = ("--expected-bucket-owner", owner) if owner else ()
        with tempfile.TemporaryDirectory() as folder:
            body = Path(folder) / "body"
            body.write_bytes(content)
            self._run(
                *("s3api", "put-object", "--bucket", bucket, "--key", key, "--body", str(body)),
                *expected,
            )

    def invoke(self, function: str, event: bytes) -> tuple[Mapping[str, Any], bytes]:
        with tempfile.TemporaryDirectory() as folder:
            given, payload = Path(folder) / "event", Path(folder) / "payload"
            given.write_bytes(event)
            answer = self._run(
                *("lambda", "invoke", "--function-name", function, "--log-type", "Tail"),
                # fileb: version 2 would take a text for base64.
                *("--payload", f"fileb://{given}", "--cli-read-timeout", str(READ_TIMEOUT)),
                str(payload),
            )
            return answer, payload.read_bytes()

    def _run(self, *arguments: str) -> Mapping[str, Any]:
        command = [self._program, *arguments, "--output", "json", "--region", self.region]
        if self._endpoint_url:
            command += ["--endpoint-url", self._endpoint_url]
        environment = {**os.environ, "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "5"}
        if is_emulator(self._endpoint_url):
            environment |= EMULATOR_KEYS
        if arguments[:2] == ("lambda", "invoke"):
            environment["AWS_MAX_ATTEMPTS"] = "1"
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise _read_error_of_cli(done.stderr, self._endpoint_url)
        return cast("Mapping[str, Any]", json.loads(done.stdout or "{}"))


def _cannot_connect(endpoint_url: str | None, said: str) -> str:
    """Describe a server that cannot be reached."""
    if endpoint_url is not None and is_emulator(endpoint_url):
        return _nothing_listens(endpoint_url)
    return f"{said}; check the {'address' if endpoint_url else 'region'} and the network"


def _read_error_of_cli(text: str, endpoint_url: str | None = None) -> Exception:
    """Read what the AWS CLI writes about an error."""
    told = re.search(r"An error occurred \((\w+)\)[^:]*: (.*)", text, re.DOTALL)
    if told:
        return AwsError(told[1], told[2].strip())
    if "credentials" in text:
        return BadInput(NO_CREDENTIALS)
    said = " ".join(text.split())
    if "Could not connect to the endpoint" in said:
        return BadInput(_cannot_connect(endpoint_url, said))
    return BadInput(said or "the AWS CLI failed without a word")


def _find_region_of_cli(program: str, region: str | None) -> str:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        region = region or os.environ.get(name)
    if not region:
        done = subprocess.run(
            [program, "configure", "get", "region"], capture_output=True, text=True
        )
        region = done.stdout.strip()
    if not region:
        raise BadInput(NO_REGION)
    return region
