"""The context object, attribute by attribute as in the official client."""

import json
import time
from pathlib import Path

import pytest

from runtime.client import Client
from runtime.context import Context
from runtime.settings import Settings
from tests.runtime.stage import delivery

SETTINGS = Settings(
    "127.0.0.1:9001",
    "app.handler",
    Path("/var/task"),
    function_name="shop",
    function_version="7",
    memory="512",
    log_group="/aws/lambda/shop",
    log_stream="stream",
)


def context(**headers: str) -> Context:
    sent = {f"lambda-runtime-{k.replace('_', '-')}": v for k, v in headers.items()}
    return Context(delivery(b"{}", sent), SETTINGS)


def test_the_function_s_facts_come_from_the_environment() -> None:
    told = context()

    assert told.function_name == "shop"
    assert told.function_version == "7"
    assert told.memory_limit_in_mb == "512"
    assert told.log_group_name == "/aws/lambda/shop"
    assert told.log_stream_name == "stream"


def test_the_invocation_s_facts_come_from_its_headers() -> None:
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
def test_an_empty_header_is_an_absent_one(headers: dict[str, str]) -> None:
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


def test_a_client_context_without_a_client_has_none() -> None:
    told = context(client_context="{}").client_context

    assert told is not None
    assert (told.client, told.custom, told.env) == (None, None, None)


def test_the_identity_is_cognito_s() -> None:
    identity = context(
        cognito_identity='{"cognitoIdentityId": "a", "cognitoIdentityPoolId": "b"}'
    ).identity

    assert (identity.cognito_identity_id, identity.cognito_identity_pool_id) == ("a", "b")


def test_the_remaining_time_is_whole_milliseconds_of_the_wall_clock(
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

    assert capsys.readouterr().out == "hello\n"


def test_it_shows_what_it_is_about() -> None:
    assert repr(context()) == (
        "Context(aws_request_id='id-1', function_name='shop', function_version='7')"
    )
