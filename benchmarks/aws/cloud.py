"""Calls to AWS by boto3. No decisions are made here."""

import base64
import contextlib
import importlib
import json
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
import httpx

from okibi.local.parse_report_lines import Report, parse_report_line

from .templates import as_text, tags

POLL = 2.0
# Seconds for a stack; a version of a customer-managed runtime takes longest.
STACK_LIMIT = 900.0
BOTO3_MISSING = "boto3 is not installed; run: pip install 'okibi[deploy]'"


class AwsError(Exception):
    """AWS refused, or boto3 cannot ask; the message is for the reader of the terminal."""


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
    report: Report | None = None

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
        region: the region; "" for the one of boto3's settings.
        endpoint: the URL of an emulator, or "".

    Raises:
        AwsError: boto3 is missing, or no region is set.
    """

    def __init__(self, region: str, endpoint: str) -> None:
        try:
            boto3: Any = importlib.import_module("boto3")
            self._botocore: Any = importlib.import_module("botocore")
            config: Any = importlib.import_module("botocore.config")
        except ImportError as error:
            raise AwsError(BOTO3_MISSING) from error
        for name in ("auth", "awsrequest", "exceptions"):
            importlib.import_module(f"botocore.{name}")
        self._session: Any = boto3.session.Session(region_name=region or None)
        if self._session.region_name is None:
            raise AwsError("no region is set: give --region, as in --region eu-central-1")
        self.region = str(self._session.region_name)
        self.endpoint = endpoint
        options = {
            "endpoint_url": endpoint or None,
            "config": config.Config(read_timeout=60, retries={"mode": "standard"}),
        }
        self._options = options
        self._stacks = self._client("cloudformation")
        self._functions = self._client("lambda")
        self._objects = self._client("s3")
        self._logs = self._client("logs")

    def _client(self, service: str) -> Any:
        return self._session.client(service, **self._options)

    @contextlib.contextmanager
    def _asking(self, what: str) -> Generator[None]:
        errors = self._botocore.exceptions
        try:
            yield
        except (errors.ClientError, errors.BotoCoreError) as error:
            raise AwsError(f"{what}: {error}") from error

    def account(self) -> str:
        """Return the account's number.

        Raises:
            AwsError: there are no credentials, or AWS refuses them.
        """
        with self._asking("who am I (sts:GetCallerIdentity)"):
            return str(self._client("sts").get_caller_identity()["Account"])

    def create_stack(self, name: str, run: str, template: Mapping[str, Any]) -> None:
        """Begin to create a stack.

        Raises:
            AwsError: AWS refuses the template.
        """
        with self._asking(f"create stack {name}"):
            self._stacks.create_stack(
                StackName=name,
                TemplateBody=as_text(template),
                Capabilities=["CAPABILITY_IAM"],
                Tags=tags(run),
            )

    def wait_for_stack(self, name: str) -> dict[str, str]:
        """Wait until a stack is complete; return its outputs.

        Raises:
            AwsError: the stack failed; the message has CloudFormation's reason.
        """
        end = time.monotonic() + STACK_LIMIT
        while time.monotonic() < end:
            (stack,) = self.describe_stacks(name)
            status = str(stack["StackStatus"])
            if status == "CREATE_COMPLETE":
                return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
            if not status.endswith("_IN_PROGRESS") or status.startswith("ROLLBACK"):
                raise AwsError(f"stack {name}: {self._why_failed(name) or status}")
            time.sleep(POLL)
        raise AwsError(f"stack {name}: not complete after {STACK_LIMIT:.0f} s")

    def _why_failed(self, name: str) -> str:
        with self._asking(f"events of stack {name}"):
            events = self._stacks.describe_stack_events(StackName=name)["StackEvents"]
        failed = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in events
            if event["ResourceStatus"] == "CREATE_FAILED"
        ]
        return failed[-1] if failed else ""  # the newest event is first

    def describe_stacks(self, name: str = "") -> list[dict[str, Any]]:
        """Return one stack, or all stacks of the account."""
        with self._asking("describe stacks"):
            if name:
                return list(self._stacks.describe_stacks(StackName=name)["Stacks"])
            pages = self._stacks.get_paginator("describe_stacks").paginate()
            return [stack for page in pages for stack in page["Stacks"]]

    def delete_stack(self, name: str) -> None:
        """Begin to delete a stack."""
        with self._asking(f"delete stack {name}"):
            self._stacks.delete_stack(StackName=name)

    def wait_until_deleted(self, name: str) -> None:
        """Wait until a stack is gone.

        Raises:
            AwsError: it cannot be deleted.
        """
        end = time.monotonic() + STACK_LIMIT
        while time.monotonic() < end:
            try:
                found = self._stacks.describe_stacks(StackName=name)["Stacks"]
            except self._botocore.exceptions.ClientError:
                return  # no such stack
            if not found or found[0]["StackStatus"] == "DELETE_COMPLETE":
                return
            if found[0]["StackStatus"] == "DELETE_FAILED":
                reason = found[0].get("StackStatusReason", "DELETE_FAILED")
                raise AwsError(f"stack {name} cannot be deleted: {reason}")
            time.sleep(POLL)
        raise AwsError(f"stack {name}: not deleted after {STACK_LIMIT:.0f} s")

    def upload(self, bucket: str, key: str, file: Path) -> None:
        """Upload a file."""
        with self._asking(f"upload {file.name}"):
            self._objects.upload_file(str(file), bucket, key)

    def empty(self, bucket: str) -> None:
        """Delete all objects of a bucket, which may be gone."""
        try:
            for page in self._objects.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for found in page.get("Contents", ()):
                    self._objects.delete_object(Bucket=bucket, Key=found["Key"])
        except self._botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchBucket", "404"):
                raise AwsError(f"empty bucket {bucket}: {error}") from error

    def wait_until_active(self, name: str, version: str = "") -> None:
        """Wait until a function, or one of its versions, can be invoked."""
        with self._asking(f"wait for {name}"):
            if version:
                waiter = self._functions.get_waiter("published_version_active")
                waiter.wait(FunctionName=name, Qualifier=version)
            else:
                self._functions.get_waiter("function_active_v2").wait(FunctionName=name)

    def invoke(self, name: str, event: object, version: str = "") -> Answer:
        """Send an event and wait for its answer."""
        qualifier = {"Qualifier": version} if version else {}
        with self._asking(f"invoke {name}"):
            answer = self._functions.invoke(
                FunctionName=name, Payload=json.dumps(event).encode(), LogType="Tail", **qualifier
            )
            payload = json.loads(answer["Payload"].read() or b"null")
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace").splitlines()
        reports = [report for line in log if (report := parse_report_line(line))]
        return Answer(
            payload, bool(answer.get("FunctionError")), tuple(log), reports[-1] if reports else None
        )

    def make_cold(self, name: str, variables: Mapping[str, str]) -> None:
        """Change a function's environment, so that its next start is a cold one."""
        with self._asking(f"configure {name}"):
            self._functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": dict(variables)}
            )
            self._functions.get_waiter("function_updated_v2").wait(FunctionName=name)

    def log_lines(self, name: str) -> list[str]:
        """Return all lines of a function's log; empty if there is none."""
        errors = self._botocore.exceptions
        try:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{name}"
            )
            return [
                line
                for page in pages
                for event in page["events"]
                for line in event["message"].splitlines()
            ]
        except errors.ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return []
            raise AwsError(f"read the log of {name}: {error}") from error

    def stream(self, url: str) -> tuple[list[float], str]:
        """Read a function URL; return when each piece arrived, and the text.

        Returns:
            Seconds from the request to each piece, and all pieces joined.

        Raises:
            AwsError: the URL does not answer with status 200.
        """
        request = self._botocore.awsrequest.AWSRequest("GET", url)
        signer = self._botocore.auth.SigV4Auth(
            self._session.get_credentials().get_frozen_credentials(), "lambda", self.region
        )
        signer.add_auth(request)
        headers = {str(name): str(value) for name, value in request.headers.items()}
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
            raise AwsError(f"read the function URL: {error!r}") from error
        if status != 200:
            raise AwsError(f"the function URL answers {status}: {text[:200]}")
        return pieces, text

    def registry_password(self) -> str:
        """Return the password of the account's image registry (user AWS)."""
        with self._asking("log in to ECR"):
            token = self._client("ecr").get_authorization_token()
        encoded = token["authorizationData"][0]["authorizationToken"]
        return base64.b64decode(encoded).decode().partition(":")[2]
