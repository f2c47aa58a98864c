"""Frozen values that describe the functions that `okibi dev` serves."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from ..local.invoke_api.invoke_errors import InvokeError
from ..local.schedules.schedule_expression import parse_schedule
from ..local.services.route_path import (
    RouteKind,
    check_method,
    check_path,
    is_default,
)
from ..local.settings import ACCOUNT_ID, FunctionSettings

KINDS = ("http-api", "rest-api", "alb")
PAYLOAD_FORMATS = ("1.0", "2.0")

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


class Throttled(InvokeError):
    """The function takes no more events now (Lambda Invoke: TooManyRequestsException, 429).

    Args:
        message: one sentence for the invoker.
        reason: Lambda's `Reason`, such as ReservedFunctionConcurrentInvocationLimitExceeded.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(
            429,
            "TooManyRequestsException",
            message,
            reason=reason,
            headers={"Retry-After": "1"},
        )


def _integer(least: int, most: int | None = None, *, optional: bool = False) -> Validator:
    limits = f"an integer >= {least}" if most is None else f"an integer from {least} to {most}"
    expected = f"{limits} or None" if optional else limits

    def check(_: Any, field: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None and optional:
            return
        # True and False are integers for Python.
        number = value if isinstance(value, int) and not isinstance(value, bool) else least - 1
        if number < least or (most is not None and number > most):
            raise ValueError(f"{field.name} must be {expected}, got {value!r}")

    return check


def _texts(value: Any) -> Any:
    # A string is a sequence of strings: leave it to the validator.
    return value if isinstance(value, str) else tuple(value)


def _check_texts(_: Any, field: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, str) or not all(isinstance(text, str) and text for text in value):
        raise ValueError(f"{field.name} must be a list of strings, got {value!r}")


def _check_flag(_: Any, field: "attrs.Attribute[Any]", value: Any) -> None:
    if value not in (True, False):
        raise ValueError(f"{field.name} must be True or False, got {value!r}")


def _instances(kind: type) -> Validator:
    def check(_: Any, field: "attrs.Attribute[Any]", value: Any) -> None:
        if not all(isinstance(item, kind) for item in value):
            raise ValueError(f"{field.name} must contain only {kind.__name__}, got {value!r}")

    return check


def _optional_instance(kind: type) -> Validator:
    def check(_: Any, field: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"{field.name} must be a {kind.__name__} or None, got {value!r}")

    return check


def _http_api() -> RouteKind:
    return "http-api"


def _check_method(_: Any, __: Any, value: Any) -> None:
    check_method(value)


def _check_path(_: Any, __: Any, value: Any) -> None:
    check_path(value)


def _check_kind(_: Any, __: Any, value: Any) -> None:
    if value not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {value!r}")


def _check_payload_format(_: Any, field: "attrs.Attribute[Any]", value: Any) -> None:
    if value not in PAYLOAD_FORMATS:
        raise ValueError(f"{field.name} must be '1.0' or '2.0', got {value!r}")


def _check_input(_: Any, __: Any, value: Any) -> None:
    try:
        json.loads(value)
    except (TypeError, ValueError):
        raise ValueError(f"input must be an event as JSON, got {value!r}") from None


def _check_attach(self: Any, _: Any, value: Any) -> None:
    _check_flag(self, attrs.fields(DevFunction).attach, value)
    if value and self.settings.snap_start:
        raise ValueError("attach must be False with snap_start: no process is started")


@attrs.frozen
class Cors:
    """A CORS configuration (Lambda FunctionUrlConfig; API Gateway CorsConfiguration).

    Args:
        allow_origins: origins such as `https://a.example`, or `*`.
        allow_methods: HTTP methods, or `*`.
        allow_headers: request headers that a page may send, or `*`.
        expose_headers: response headers that a page may read.
        allow_credentials: whether a page may send cookies and authorisation.
        max_age: seconds for which a browser may keep the answer to a preflight request; None sends
            no limit.

    Raises:
        ValueError: a field is invalid; the message begins with the name of the field.

    Example:
        Cors(allow_origins=["http://localhost:3000"], allow_methods=["GET", "POST"])
    """

    allow_origins: Sequence[str] = attrs.field(default=(), converter=_texts, validator=_check_texts)
    allow_methods: Sequence[str] = attrs.field(default=(), converter=_texts, validator=_check_texts)
    allow_headers: Sequence[str] = attrs.field(default=(), converter=_texts, validator=_check_texts)
    expose_headers: Sequence[str] = attrs.field(
        default=(), converter=_texts, validator=_check_texts
    )
    allow_credentials: bool = attrs.field(default=False, validator=_check_flag)
    max_age: int | None = attrs.field(default=None, validator=_integer(0, 86_400, optional=True))


@attrs.frozen
class FunctionUrl:
    """A function URL (Lambda CreateFunctionUrlConfig).

    Args:
        streaming: whether the response is sent as it is produced (InvokeMode RESPONSE_STREAM).
        cors: answers to web pages of other origins; None refuses them.

    Raises:
        ValueError: a field is invalid; the message begins with the name of the field.

    Example:
        FunctionUrl(streaming=True, cors=Cors(allow_origins=["*"]))
    """

    streaming: bool = attrs.field(default=False, validator=_check_flag)
    cors: Cors | None = attrs.field(default=None, validator=_optional_instance(Cors))


@attrs.frozen
class Route:
    """A route to a function (API Gateway CreateRoute; an Application Load Balancer's rule).

    Args:
        method: an HTTP method, or ANY.
        path: the path, with variables: `/visits/{name}`, `/files/{path+}`. `$default` takes all
            requests that no other route matches; a rule of a load balancer may contain `*`.
        kind: the service whose events the function gets.
        cors: answers to web pages of other origins; None refuses them.
        binary_media_types: media types that a REST API passes as Base64 (API Gateway
            BinaryMediaTypes), such as `image/png`, `image/*` or `*/*`.
        stage: the stage of a REST API, as its events name it.
        multi_value_headers: whether a load balancer sends and reads headers and parameters with all
            of their values (`lambda.multi_value_headers.enabled` of a target group).
        payload_format: the version of an HTTP API's events and results, `1.0` or `2.0` (API Gateway
            PayloadFormatVersion).

    Raises:
        ValueError: a field is invalid; the message begins with the name of the field.

    Example:
        Route("GET", "/visits/{name}")
    """

    method: str = attrs.field(validator=_check_method)
    path: str = attrs.field(validator=_check_path)
    kind: RouteKind = attrs.field(factory=_http_api, validator=_check_kind)
    cors: Cors | None = attrs.field(default=None, validator=_optional_instance(Cors))
    binary_media_types: Sequence[str] = attrs.field(
        default=(), converter=_texts, validator=_check_texts
    )
    stage: str = "Prod"
    multi_value_headers: bool = attrs.field(default=False, validator=_check_flag)
    payload_format: str = attrs.field(default="2.0", validator=_check_payload_format)

    @property
    def is_default(self) -> bool:
        """Whether the route takes all requests that no other route matches."""
        return is_default(self.path)


@attrs.frozen
class Schedule:
    """A schedule that invokes a function (EventBridge Scheduler CreateSchedule).

    Args:
        expression: `rate(…)`, `cron(…)` or `at(…)`.
        timezone: a name of the IANA database, for `cron` and `at`.
        input: the event as JSON.

    Raises:
        ScheduleError: expression or timezone is wrong.
        ValueError: input is not JSON.

    Example:
        Schedule("cron(0 3 * * ? *)", timezone="Europe/Berlin")
    """

    expression: str
    timezone: str = "UTC"
    input: str = attrs.field(default="{}", validator=_check_input)

    def __attrs_post_init__(self) -> None:
        parse_schedule(self.expression, self.timezone, datetime.now(UTC))

    def next_time(self, after: datetime, start: datetime | None = None) -> datetime | None:
        """Return the first time later than `after`, in UTC; None if there is none.

        Args:
            after: a time in UTC.
            start: when the schedule began, in UTC; None for `after`.

        Example:
            >>> now = datetime(2026, 1, 1, tzinfo=UTC)
            >>> print(Schedule("rate(5 minutes)").next_time(now))
            2026-01-01 00:05:00+00:00
        """
        return parse_schedule(self.expression, self.timezone, start or after)(after)


@attrs.frozen
class DevFunction:
    """One function that `okibi dev` serves.

    Args:
        settings: the function itself.
        concurrency: sandboxes at most. Further events wait, 1,000 at most.
        reserved_concurrency: events in flight at most (Lambda PutFunctionConcurrency); more are
            throttled at once. 0 throttles all; None sets no limit.
        url: the function URL; None for none.
        routes: the routes to the function.
        schedules: the schedules that invoke the function.
        maximum_retry_attempts: retries of a failed asynchronous invocation (Lambda
            PutFunctionEventInvokeConfig).
        maximum_event_age: seconds after which an asynchronous event is dropped.
        freeze: whether idle sandboxes are stopped (SIGSTOP), as on Lambda. Managed Instances are
            never stopped.
        attach: serve the Runtime API and start no process: a runtime under a debugger connects. It
            is the only sandbox, and no invocation times out.
        attach_port: port of that Runtime API, on loopback; 0 picks a free one.
        description: the description in answers of ListFunctions and GetFunction.
        runtime: Lambda's runtime in these answers, such as `python3.13`.
        architecture: the processor in these answers, such as `x86_64`.
        role: the ARN of the execution role in these answers.

    Raises:
        TypeError: settings is no FunctionSettings.
        ValueError: a field is invalid; the message begins with the name of the field.

    Example:
        DevFunction(FunctionSettings("app.function", name="visits"), concurrency=2)
    """

    settings: FunctionSettings = attrs.field(
        validator=attrs.validators.instance_of(FunctionSettings)
    )
    concurrency: int = attrs.field(default=10, validator=_integer(1, 1000))
    reserved_concurrency: int | None = attrs.field(
        default=None, validator=_integer(0, optional=True)
    )
    url: FunctionUrl | None = attrs.field(
        factory=FunctionUrl, validator=_optional_instance(FunctionUrl)
    )
    routes: Sequence[Route] = attrs.field(
        default=(), converter=tuple[Route, ...], validator=_instances(Route)
    )
    schedules: Sequence[Schedule] = attrs.field(
        default=(), converter=tuple[Schedule, ...], validator=_instances(Schedule)
    )
    maximum_retry_attempts: int = attrs.field(default=2, validator=_integer(0, 2))
    maximum_event_age: int = attrs.field(default=21_600, validator=_integer(60, 21_600))
    freeze: bool = attrs.field(default=True, validator=_check_flag)
    attach: bool = attrs.field(default=False, validator=_check_attach)
    attach_port: int = attrs.field(default=9001, validator=_integer(0, 65_535))
    description: str = ""
    runtime: str = "provided.al2023"
    architecture: str = "x86_64"
    role: str = f"arn:aws:iam::{ACCOUNT_ID}:role/local"

    @property
    def name(self) -> str:
        """The function's name."""
        return self.settings.name
