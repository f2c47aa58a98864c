"""A function's configuration, and the environment of its sandbox."""

import time
from pathlib import Path
from typing import Any

import pytest

from okibi.local import FunctionSettings
from okibi.local.sandbox.environment import sandbox_environment

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"handler": " "}, "handler must be module.name, such as app.handler, got ' '"),
    ({"name": "a b"}, "name must be 1 to 64 letters, digits, '-' or '_', got 'a b'"),
    ({"name": "a" * 65}, "name must be 1 to 64 letters, digits, '-' or '_', got 'aaa"),
    ({"command": ()}, "command must be a program and its arguments as strings, got ()"),
    ({"command": ("no such program",)}, "command: program 'no such program' not found"),
    ({"task_root": "/no folder"}, "task_root must be an existing folder, got '/no folder'"),
    ({"timeout": 0}, "timeout must be seconds > 0, got 0"),
    ({"timeout": float("inf")}, "timeout must be seconds > 0, got inf"),
    ({"memory": 127}, "memory must be an integer from 128 to 10240 (MB), got 127"),
    ({"memory": 10_241}, "memory must be an integer from 128 to 10240 (MB), got 10241"),
    (
        {"memory": 32_769, "max_concurrency": 2},
        "memory must be an integer from 128 to 32768 (MB), got 32769",
    ),
    ({"max_concurrency": 0}, "max_concurrency must be an integer >= 1 or None, got 0"),
    (
        {"environment": {"A": 1}},
        "environment must map names to strings, got 'A': 1",
    ),
    (
        {"environment": {"_HANDLER": "other.handler"}},
        "environment must not set _HANDLER, which Lambda sets; leave it out",
    ),
    (
        {"environment": {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}},
        "environment must not set AWS_LAMBDA_MAX_CONCURRENCY, which Lambda sets; give max_",
    ),
]


@pytest.mark.parametrize(("fields", "expected"), REFUSED)
def test_an_invalid_field_is_named(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the text is what is tested
        FunctionSettings(**{"handler": "app.handler", **fields})

    assert str(caught.value).startswith(expected)


def test_the_functions_variables_override_inherited_ones(tmp_path: Path) -> None:
    settings = FunctionSettings("app.handler", task_root=tmp_path, environment={"A": "1"})

    variables = sandbox_environment(settings, "127.0.0.1:9001", {"A": "2", "B": "3"})

    assert (variables["A"], variables["B"]) == ("1", "3")


def test_the_date_in_the_log_stream_name_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    days = set[str]()
    for zone in ("XYZ-14", "XYZ+12"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        variables = sandbox_environment(FunctionSettings("app.handler"), "", {})
        days.add(variables["AWS_LAMBDA_LOG_STREAM_NAME"].partition("/[")[0])
    monkeypatch.undo()
    time.tzset()

    assert len(days) == 1


@pytest.mark.parametrize("slots", [None, 1, 4])
def test_max_concurrency_is_not_inherited_from_the_shell(
    slots: int | None,
) -> None:
    settings = FunctionSettings("app.handler", max_concurrency=slots)

    variables = sandbox_environment(settings, "", {"AWS_LAMBDA_MAX_CONCURRENCY": "16"})

    assert variables.get("AWS_LAMBDA_MAX_CONCURRENCY") == (None if slots is None else str(slots))


@pytest.mark.parametrize(
    ("slots", "expected"), [(None, "on-demand"), (1, "lambda-managed-instances")]
)
def test_the_initialization_type_is_not_inherited_from_the_shell(
    slots: int | None, expected: str
) -> None:
    settings = FunctionSettings("app.handler", max_concurrency=slots)

    variables = sandbox_environment(settings, "", {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})

    assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == expected


@pytest.mark.parametrize(
    ("inherited", "region"),
    [
        ({}, "us-east-1"),
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-west-1"),
        ({"AWS_PROFILE": "paris"}, "eu-west-3"),
        ({"AWS_PROFILE": "other"}, "us-east-1"),
        ({"AWS_PROFILE": "paris", "AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
    ],
)
def test_each_client_of_aws_gets_the_same_region(
    inherited: dict[str, str], region: str, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile paris]\nregion = eu-west-3\n")
    inherited = {**inherited, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    by_the_shell = sandbox_environment(FunctionSettings("app.handler"), "", inherited)
    own = FunctionSettings("app.handler", environment=inherited)
    by_the_function = sandbox_environment(own, "", {})

    for variables in (by_the_shell, by_the_function):
        assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == region


@pytest.mark.parametrize(("named", "key"), [({}, "local"), ({"AWS_PROFILE": "mine"}, None)])
def test_an_sdk_gets_failing_credentials_unless_a_profile_is_set(
    named: dict[str, str], key: str | None
) -> None:
    by_the_shell = sandbox_environment(FunctionSettings("app.handler"), "", named)
    own = FunctionSettings("app.handler", environment=named)
    by_the_function = sandbox_environment(own, "", {})

    for variables in (by_the_shell, by_the_function):
        names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        assert [variables.get(name) for name in names] == [key] * 3
