"""The context object has the official client's attributes."""

import copy
import json
import logging
import pickle
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from okibi.runtime.codec.json import LambdaContextUnmarshalError
from okibi.runtime.handlers.context import Context, LazyAttribute, check_context
from okibi.runtime.handlers.mobile_client import Client
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.settings import Settings
from tests.support.doubles import brought_to, delivery

SETTINGS = Settings(
    "127.0.0.1:9001",
    "app.handler",
    "/var/task",
    function_name="shop",
    function_version="7",
    memory="512",
    log_group="/aws/lambda/shop",
    log_stream="stream",
)


class Sink:
    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)


class Sinking(logging.NullHandler):
    def __init__(self) -> None:
        super().__init__()
        self.log_sink = Sink()


def context(**headers: str) -> Context:
    sent = {f"lambda-runtime-{k.replace('_', '-')}": v for k, v in headers.items()}
    return Context(delivery(b"{}", sent), SETTINGS)


def test_attributes_of_the_function_come_from_the_environment() -> None:
    told = context()

    assert told.function_name == "shop"
    assert told.function_version == "7"
    assert told.memory_limit_in_mb == "512"
    assert told.log_group_name == "/aws/lambda/shop"
    assert told.log_stream_name == "stream"


def test_attributes_of_the_invocation_come_from_its_headers() -> None:
    told = context(invoked_function_arn="arn:aws:lambda:x", aws_tenant_id="tenant")

    assert told.aws_request_id == "id-1"
    assert told.invoked_function_arn == "arn:aws:lambda:x"
    assert told.tenant_id == "tenant"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {
            "invoked_function_arn": "",
            "aws_tenant_id": "",
            "client_context": "",
            "cognito_identity": "",
        },
    ],
)
def test_an_empty_header_counts_as_absent(headers: dict[str, str]) -> None:
    told = context(**headers)

    assert told.invoked_function_arn == ""
    assert told.tenant_id is None
    assert told.client_context is None
    assert told.identity.cognito_identity_id is None
    assert told.identity.cognito_identity_pool_id is None


def test_the_client_context_has_client_custom_and_env() -> None:
    told = context(
        client_context=json.dumps(
            {
                "client": {"installation_id": "i", "app_title": "t", "unknown": 1},
                "custom": {"a": 1},
                "env": {"b": 2},
            }
        )
    ).client_context

    assert told is not None
    assert told.custom == {"a": 1}
    assert told.env == {"b": 2}
    assert isinstance(told.client, Client)
    assert told.client.installation_id == "i"
    assert told.client.app_title == "t"
    assert told.client.app_version_name is None
    assert told.client.app_version_code is None
    assert told.client.app_package_name is None


def test_a_client_context_without_a_client_has_client_none() -> None:
    told = context(client_context="{}").client_context

    assert told is not None
    assert (told.client, told.custom, told.env) == (None, None, None)


def test_the_identity_has_the_cognito_ids() -> None:
    identity = context(
        cognito_identity='{"cognitoIdentityId": "a", "cognitoIdentityPoolId": "b"}'
    ).identity

    assert (identity.cognito_identity_id, identity.cognito_identity_pool_id) == ("a", "b")


def test_the_remaining_time_is_in_whole_milliseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)

    assert context(deadline_ms="1002500").get_remaining_time_in_millis() == 2500


@pytest.mark.parametrize("deadline", ["999000", ""])
def test_the_remaining_time_is_never_below_zero(
    deadline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)

    assert context(deadline_ms=deadline).get_remaining_time_in_millis() == 0


def test_log_writes_a_line_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    context().log("hello")
    context().log("ended\n")
    context().log(5)

    assert capsys.readouterr().out == "hello\nended\n5\n"


def test_log_writes_to_the_sink_of_the_root_logger_s_handler(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = Sinking()
    logging.getLogger().addHandler(handler)
    try:
        context().log("hello")
    finally:
        logging.getLogger().removeHandler(handler)

    assert handler.log_sink.said == ["hello"]
    assert capsys.readouterr().out == ""


def test_the_class_is_named_lambda_context() -> None:
    assert type(context()).__name__ == "LambdaContext"


def test_attributes_can_be_set() -> None:
    told: Any = context()
    told.span = 5
    told.function_name = "other"

    assert (told.span, told.function_name) == (5, "other")


def pickled(told: Context) -> Any:
    return pickle.loads(pickle.dumps(told))


COPIES: list[Callable[[Context], Any]] = [copy.copy, copy.deepcopy, pickled]


@pytest.mark.parametrize("again", COPIES)
def test_a_copy_has_the_same_attributes(again: Callable[[Context], Any]) -> None:
    # A real delivery holds a worker, which cannot be copied.
    of_worker = delivery(b"{}", {f"lambda-runtime-{k}": v for k, v in SENT.items()})
    of_worker.worker = cast("Any", (n for n in list[int]()))
    told: Any = Context(of_worker, SETTINGS)
    told.span = 5

    copied = again(told)

    assert repr(copied) == repr(told)
    assert copied.w3c() == {"tracestate": "a=b"}
    assert copied._epoch_deadline_time_in_ms == 1002500
    assert copied.get_remaining_time_in_millis() == 0
    assert copied.span == 5


class WithHiddenAttribute(Context):
    """Has an attribute that neither `vars` nor the repr shows."""

    @LazyAttribute
    def region(self) -> str:
        """An attribute like `xray_trace_id`."""
        return self._settings.function_name + "'s"


@pytest.mark.parametrize("again", COPIES)
def test_a_copy_has_every_lazy_attribute(again: Callable[[Context], Any]) -> None:
    assert again(WithHiddenAttribute(delivery(b"{}"), SETTINGS)).region == "shop's"


SENT = {
    "deadline-ms": "1002500",
    "client-context": '{"client": {"installation_id": "i"}, "w3c": {"tracestate": "a=b"}}',
    "cognito-identity": '{"cognitoIdentityId": "a"}',
}


def test_w3c_returns_the_known_fields_of_the_client_context() -> None:
    w3c = {"traceparent": "00-1", "baggage": 5, "unknown": "x"}
    told = context(client_context=json.dumps({"w3c": w3c, "custom": {"a": 1}}))

    assert told.w3c() == {"traceparent": "00-1"}
    assert context().w3c() == {}
    assert context(client_context='{"w3c": 5}').w3c() == {}
    assert told.client_context is not None
    assert told.client_context.custom == {"a": 1}


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"client_context": "{"}, "Unable to parse Client Context JSON: Expecting property name"),
        ({"cognito_identity": "x"}, "Unable to parse Cognito Identity JSON: Expecting value"),
        ({"client_context": "5"}, "Unable to parse Client Context JSON: not an object"),
        ({"client_context": '{"client": 5}'}, "Client Context JSON: `client` is not an object"),
    ],
)
def test_a_context_header_that_is_not_json_is_refused(headers: dict[str, str], words: str) -> None:
    sent = {f"lambda-runtime-{k.replace('_', '-')}": v for k, v in headers.items()}

    with pytest.raises(LambdaContextUnmarshalError, match=words):
        check_context(delivery(b"{}", sent))


def test_valid_context_headers_are_accepted() -> None:
    sent = {"lambda-runtime-client-context": "{}", "lambda-runtime-cognito-identity": "null"}

    check_context(delivery(b"{}", sent))


# -- beside the official client's

HEADERS = {
    "invoked_function_arn": "arn:aws:lambda:x",
    "aws_tenant_id": "tenant",
    "deadline_ms": "1002500",
    "client_context": json.dumps(
        {"client": {"installation_id": "i"}, "custom": {"a": 1}, "w3c": {"tracestate": "a=b"}}
    ),
    "cognito_identity": '{"cognitoIdentityId": "a"}',
}


@pytest.mark.parametrize("headers", [HEADERS, {"deadline_ms": "1002500"}])
def test_the_context_equals_the_official_client_s(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "awslambdaric is not installed: `make bench` installs it"
    official = pytest.importorskip("awslambdaric.bootstrap", reason=reason)
    for name, value in (
        ("LAMBDA_FUNCTION_NAME", "shop"), ("LAMBDA_FUNCTION_VERSION", "7"),
        ("LAMBDA_FUNCTION_MEMORY_SIZE", "512"), ("LAMBDA_LOG_GROUP_NAME", "/aws/lambda/shop"),
        ("LAMBDA_LOG_STREAM_NAME", "stream"),
    ):  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    ours = context(**headers)
    theirs = official.create_lambda_context(
        headers.get("client_context"), headers.get("cognito_identity"),
        int(headers["deadline_ms"]), "id-1", headers.get("invoked_function_arn", ""),
        headers.get("aws_tenant_id"),
    )  # fmt: skip

    assert repr(ours) == repr(theirs)
    assert ours.w3c() == theirs.w3c()
    told: dict[str, object] = vars(theirs)
    assert set(vars(ours)) == set(told)
    for name in told:
        assert repr(getattr(ours, name)) == repr(getattr(theirs, name)), name


# -- after_response


@pytest.mark.parametrize("state", list(DeliveryState))
def test_after_response_is_refused_once_the_event_is_answered(state: DeliveryState) -> None:
    made = brought_to(state)
    made.finish()
    told = Context(made, SETTINGS)

    if made.unsettled:
        told.after_response(print, "later")
        assert made.follow_ups is not None
    else:
        with pytest.raises(RuntimeError, match="after_response was called too late"):
            told.after_response(print, "later")
        assert made.follow_ups is None


def test_after_response_of_a_copy_is_refused() -> None:
    with pytest.raises(RuntimeError, match="this context is a copy"):
        copy.copy(context()).after_response(print)


def test_after_response_refuses_the_result_of_a_call() -> None:
    told: Any = context()

    with pytest.raises(TypeError, match=r"instead of after_response\(work\(1\)\)"):
        told.after_response(len("work"))


def test_a_registered_function_is_no_attribute_of_the_context() -> None:
    told, other = context(), context()
    told.after_response(print)

    assert [*vars(told)] == [*vars(other)]
    assert repr(told) == repr(other)
