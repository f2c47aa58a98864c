"""An account in a region. No decisions are made here."""

import base64
import importlib
import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
import httpx

from okibi.deployment.aws import EMULATOR_KEYS, AwsError, connect, is_emulator
from okibi.deployment.stacks import list_outputs, list_reasons, read_outcome
from okibi.project.bad_input import BadInput

from .parse_report_lines import ReportLine, parse_report_line
from .templates import as_text, tags

POLL = 1.0
# Seconds for a stack or a function; a version of a customer-managed runtime takes longest.
LIMIT = 900.0
GONE = ("NoSuchBucket", "ResourceNotFoundException", "ValidationError")
"""How S3, Lambda and CloudFormation say that something does not exist."""


class RunError(Exception):
    """AWS refused, or a step failed; the message is for the reader of the terminal."""


@attrs.frozen
class Answer:
    """The answer to one event.

    Args:
        payload: the parsed payload.
        is_error: whether the payload is a function error.
        log: the last lines of the log.
        report: the REPORT line, or None if the log has none.
    """

    payload: Any
    is_error: bool
    log: tuple[str, ...] = ()
    report: ReportLine | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The payload if it is an object, else an empty one."""
        payload: object = self.payload
        return cast(dict[str, Any], payload) if isinstance(payload, dict) else {}

    @property
    def error_type(self) -> str:
        """The type of a function error, or ""."""
        return str(self.fields.get("errorType", "")) if self.is_error else ""

    @property
    def pid(self) -> int:
        """The process that answered, or 0."""
        return int(self.fields.get("pid", 0))


class Cloud:
    """An account in a region.

    Args:
        region: the region; "" for the one of AWS's settings.
        endpoint: the URL of an emulator, or "".

    Raises:
        BadInput: boto3 is missing, or no region is set.
    """

    def __init__(self, region: str, endpoint: str) -> None:
        self._aws = connect(region or None, endpoint or None)
        self.region = self._aws.region
        self.endpoint = endpoint

    def _call(self, service: str, operation: str, **parameters: object) -> Mapping[str, Any]:
        """Call an operation.

        Raises:
            RunError: AWS refuses, or cannot be reached.
        """
        with _as_run_error(f"{service} {operation}"):
            return self._aws.call(service, operation, **parameters)

    def _pages(
        self, service: str, operation: str, **parameters: object
    ) -> Sequence[Mapping[str, Any]]:
        """Call an operation that answers in pages. Raises as `_call`."""
        with _as_run_error(f"{service} {operation}"):
            return self._aws.pages(service, operation, **parameters)

    def _wait(self, service: str, waiter: str, **parameters: object) -> None:
        """Wait until a waiter of boto3 has succeeded or failed. Raises as `_call`."""
        with _as_run_error(f"{service} {waiter}"):
            self._aws.wait(service, waiter, pause=POLL, limit=LIMIT, **parameters)

    def _call_unless_gone(
        self, service: str, operation: str, **parameters: object
    ) -> Mapping[str, Any] | None:
        """Call an operation; return None if what it is about does not exist."""
        try:
            return self._call(service, operation, **parameters)
        except RunError as error:
            cause = error.__cause__
            if isinstance(cause, AwsError) and cause.code in GONE:
                return None
            raise

    def account(self) -> str:
        """Return the account's number."""
        return str(self._call("sts", "get_caller_identity")["Account"])

    def create_stack(self, name: str, run: str, template: Mapping[str, Any]) -> None:
        """Begin to create a stack."""
        self._call(
            "cloudformation", "create_stack", StackName=name, TemplateBody=as_text(template),
            Capabilities=["CAPABILITY_IAM"], Tags=tags(run),
        )  # fmt: skip

    def wait_for_stack(self, name: str) -> dict[str, str]:
        """Wait until a stack is complete; return its outputs.

        Raises:
            RunError: the stack failed; the message has CloudFormation's reason.
        """
        self._wait("cloudformation", "stack_create_complete", StackName=name)
        (stack,) = self._call("cloudformation", "describe_stacks", StackName=name)["Stacks"]
        if not read_outcome(stack).good:
            events = self._call("cloudformation", "describe_stack_events", StackName=name)
            reasons = list_reasons(events["StackEvents"]) or [str(stack["StackStatus"])]
            raise RunError(f"stack {name}: {reasons[0]}")
        return dict(list_outputs(stack))

    def describe_stacks(self) -> list[Mapping[str, Any]]:
        """Return all stacks of the account."""
        pages = self._pages("cloudformation", "describe_stacks")
        return [stack for page in pages for stack in page["Stacks"]]

    def delete_stack(self, name: str) -> None:
        """Begin to delete a stack."""
        self._call("cloudformation", "delete_stack", StackName=name)

    def wait_until_deleted(self, name: str) -> None:
        """Wait until a stack is gone.

        Raises:
            RunError: the stack cannot be deleted.
        """
        self._wait("cloudformation", "stack_delete_complete", StackName=name)
        found = self._call_unless_gone("cloudformation", "describe_stacks", StackName=name)
        for stack in found["Stacks"] if found else ():
            if (status := stack["StackStatus"]) != "DELETE_COMPLETE":
                reason = stack.get("StackStatusReason", status)
                raise RunError(f"stack {name} cannot be deleted: {reason}")

    def upload(self, bucket: str, key: str, file: Path) -> None:
        """Upload a file."""
        self._call("s3", "put_object", Bucket=bucket, Key=key, Body=file.read_bytes())

    def empty(self, bucket: str) -> None:
        """Delete all objects of a bucket, which may be gone."""
        while page := self._call_unless_gone("s3", "list_objects_v2", Bucket=bucket):
            found = [{"Key": each["Key"]} for each in page.get("Contents", ())]
            if not found:
                return
            self._call("s3", "delete_objects", Bucket=bucket, Delete={"Objects": found})

    def wait_until_active(self, name: str, version: str = "") -> None:
        """Wait until a function, or one of its versions, can be invoked.

        Raises:
            RunError: the function failed to become active.
        """
        qualifier = {"Qualifier": version} if version else {}
        of_function = ("function_active_v2", "function_updated_v2")
        for waiter in ("published_version_active",) if version else of_function:
            self._wait("lambda", waiter, FunctionName=name, **qualifier)
        found = self._call("lambda", "get_function_configuration", FunctionName=name, **qualifier)
        states = (found["State"], found.get("LastUpdateStatus", "Successful"))
        if states != ("Active", "Successful"):
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason")
            raise RunError(f"function {name} is not active: {reason or states}")

    def invoke(self, name: str, event: object, version: str = "") -> Answer:
        """Send an event and wait for its answer."""
        function = f"{name}:{version}" if version else name
        answer = self._call(
            "lambda", "invoke", FunctionName=function, Payload=json.dumps(event).encode(),
            LogType="Tail",
        )  # fmt: skip
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace").splitlines()
        reports = [report for line in log if (report := parse_report_line(line))]
        return Answer(
            json.loads(answer["Payload"].read() or b"null"),
            bool(answer.get("FunctionError")),
            tuple(log),
            reports[-1] if reports else None,
        )

    def make_cold(self, name: str, variables: Mapping[str, str]) -> None:
        """Change a function's environment, so that its next start is a cold one."""
        self._call(
            "lambda", "update_function_configuration", FunctionName=name,
            Environment={"Variables": dict(variables)},
        )  # fmt: skip
        self.wait_until_active(name)

    def log_lines(self, name: str) -> list[str]:
        """Return all lines of a function's log."""
        pages = self._pages("logs", "filter_log_events", logGroupName=f"/aws/lambda/{name}")
        return [
            line
            for page in pages
            for event in page["events"]
            for line in event["message"].splitlines()
        ]

    def stream(self, url: str) -> tuple[list[float], str]:
        """Read a function URL; return when each piece arrived, and the text.

        Returns:
            Seconds from the request to each piece, and all pieces joined.

        Raises:
            RunError: there are no credentials, or the URL does not answer with status 200.
        """
        headers = self._sign(url)
        if self.endpoint:  # an emulator tells its functions apart by Host
            headers["Host"] = urlsplit(url).netloc
            url = self.endpoint
        began = time.monotonic()
        pieces: list[float] = []
        text = ""
        try:
            with httpx.stream("GET", url, headers=headers, timeout=30) as response:
                for piece in response.iter_text():
                    pieces.append(time.monotonic() - began)
                    text += piece
                status = response.status_code
        except httpx.HTTPError as error:
            raise RunError(f"read the function URL: {error!r}") from error
        if status != 200:
            raise RunError(f"the function URL answers {status}: {text[:200]}")
        return pieces, text

    def _sign(self, url: str) -> dict[str, str]:
        """Return the headers of a GET with this account's signature."""
        session: Any = importlib.import_module("botocore.session").get_session()
        auth: Any = importlib.import_module("botocore.auth")
        requests: Any = importlib.import_module("botocore.awsrequest")
        keys: Any = importlib.import_module("botocore.credentials")
        request = requests.AWSRequest("GET", url)
        if is_emulator(self.endpoint):
            credentials = keys.Credentials(*EMULATOR_KEYS.values())
        else:
            credentials = session.get_credentials()
        if credentials is None:
            raise RunError("a function URL needs credentials that boto3 finds")
        frozen = credentials.get_frozen_credentials()
        auth.SigV4Auth(frozen, "lambda", self.region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}

    def registry_password(self) -> str:
        """Return the password of the account's image registry (user AWS)."""
        token = self._call("ecr", "get_authorization_token")
        encoded = token["authorizationData"][0]["authorizationToken"]
        return base64.b64decode(encoded).decode().partition(":")[2]


@contextmanager
def _as_run_error(what: str) -> Generator[None]:
    """Raise RunError for the errors of AWS, with the name of what was asked."""
    try:
        yield
    except (AwsError, BadInput) as error:
        raise RunError(f"{what}: {error}") from error
