"""What a function's configuration refuses, and what of it each sandbox is told."""

import time
from pathlib import Path
from typing import Any

import pytest

from okibi.local import FunctionSettings
from okibi.local.environment import sandbox_environment

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"handler": " "}, "handler: ' ' names nothing; write module.name, as in app.handler"),
    ({"name": "a b"}, "name: 'a b' is no function name; use 1 to 64 letters, digits, '-' or '_'"),
    ({"name": "a" * 65}, f"name: '{'a' * 65}' is no function name"),
    ({"command": ()}, "command: () is no command; give the program and its arguments as strings"),
    ({"command": ("no such program",)}, "command: there is no program 'no such program'"),
    ({"task_root": "/no such folder"}, "task_root: '/no such folder' is no folder"),
    ({"timeout": 0}, "timeout: 0 is no time; give seconds, more than 0"),
    ({"timeout": float("inf")}, "timeout: inf is no time; give seconds, more than 0"),
    ({"memory": 127}, "memory: 127 is not for Lambda; give MB, from 128 to 10240"),
    ({"memory": 10_241}, "memory: 10241 is not for Lambda; give MB, from 128 to 10240"),
    ({"max_concurrency": 0}, "max_concurrency: 0 is no number of events; give 1 or more, or None"),
    (
        {"environment": {"A": 1}},
        "environment: 'A': 1 is no variable; give names and values as strings",
    ),
    (
        {"environment": {"_HANDLER": "other.handler"}},
        "environment: _HANDLER is set by Lambda itself; leave it out",
    ),
    (
        {"environment": {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}},
        "environment: AWS_LAMBDA_MAX_CONCURRENCY is set by Lambda itself; give max_concurrency",
    ),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_a_wrong_field_is_refused_by_its_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the text is what is tested
        FunctionSettings(**{"handler": "app.handler", **fields})

    assert str(caught.value).startswith(said)


def test_what_the_functions_own_variables_say_goes_before_what_is_inherited(tmp_path: Path) -> None:
    settings = FunctionSettings("app.handler", task_root=tmp_path, environment={"A": "1"})

    told = sandbox_environment(settings, "127.0.0.1:9001", {"A": "2", "B": "3"})

    assert (told["A"], told["B"]) == ("1", "3")


def test_the_log_stream_s_day_is_utc_s_as_lambda_s_is(monkeypatch: pytest.MonkeyPatch) -> None:
    days = set[str]()
    for zone in ("XYZ-14", "XYZ+12"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        told = sandbox_environment(FunctionSettings("app.handler"), "", {})
        days.add(told["AWS_LAMBDA_LOG_STREAM_NAME"].partition("/[")[0])
    monkeypatch.undo()
    time.tzset()

    assert len(days) == 1


@pytest.mark.parametrize("slots", [None, 1, 4])
def test_how_many_events_come_at_once_is_told_by_the_settings_not_by_the_shell(
    slots: int | None,
) -> None:
    settings = FunctionSettings("app.handler", max_concurrency=slots)

    told = sandbox_environment(settings, "", {"AWS_LAMBDA_MAX_CONCURRENCY": "16"})

    assert told.get("AWS_LAMBDA_MAX_CONCURRENCY") == (None if slots is None else str(slots))


@pytest.mark.parametrize(("slots", "said"), [(None, "on-demand"), (1, "lambda-managed-instances")])
def test_how_it_is_initialized_is_told_by_the_settings_not_by_the_shell(
    slots: int | None, said: str
) -> None:
    settings = FunctionSettings("app.handler", max_concurrency=slots)

    told = sandbox_environment(settings, "", {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})

    assert told["AWS_LAMBDA_INITIALIZATION_TYPE"] == said


@pytest.mark.parametrize(
    ("inherited", "region", "default"),
    [
        ({}, "us-east-1", "us-east-1"),
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1", "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-west-1", "us-west-2"),
        # Its region stands in a file, and what stands in the environment goes before that.
        ({"AWS_PROFILE": "mine"}, "us-east-1", None),
        ({"AWS_PROFILE": "mine", "AWS_REGION": "eu-west-1"}, "eu-west-1", "eu-west-1"),
    ],
)
def test_boto3_is_told_the_region_that_aws_region_names(
    inherited: dict[str, str], region: str, default: str | None
) -> None:
    by_the_shell = sandbox_environment(FunctionSettings("app.handler"), "", inherited)
    own = FunctionSettings("app.handler", environment=inherited)
    by_the_function = sandbox_environment(own, "", {})

    for told in (by_the_shell, by_the_function):
        assert (told["AWS_REGION"], told.get("AWS_DEFAULT_REGION")) == (region, default)


@pytest.mark.parametrize(("named", "key"), [({}, "local"), ({"AWS_PROFILE": "mine"}, None)])
def test_an_sdk_gets_credentials_that_fail_at_once_unless_a_profile_has_its_own(
    named: dict[str, str], key: str | None
) -> None:
    by_the_shell = sandbox_environment(FunctionSettings("app.handler"), "", named)
    own = FunctionSettings("app.handler", environment=named)
    by_the_function = sandbox_environment(own, "", {})

    for told in (by_the_shell, by_the_function):
        assert told.get("AWS_ACCESS_KEY_ID") == told.get("AWS_SECRET_ACCESS_KEY") == key
