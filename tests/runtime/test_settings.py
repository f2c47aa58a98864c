"""The settings: how variables are read, and their defaults."""

from pathlib import Path

import pytest

from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.settings import Settings, read_settings

MINIMUM = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "_HANDLER": "app.handler"}


def test_every_variable_but_address_and_handler_has_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert read_settings(MINIMUM, []) == Settings(
        api="127.0.0.1:9001",
        handler="app.handler",
        task_root=str(tmp_path),
        lanes=1,
        pipelined=True,
        margin=0.1,
        busy_wait=0.0003,
        on_demand=True,
        log_level="",
        function_name="function",
        function_version="$LATEST",
        memory="128",
        log_group="",
        log_stream="",
    )


def test_every_variable_is_read() -> None:
    variables = {
        **MINIMUM,
        "LAMBDA_TASK_ROOT": "/var/task",
        "AWS_LAMBDA_MAX_CONCURRENCY": "16",
        "OKIBI_PIPELINE": "0",
        "OKIBI_DEADLINE_MARGIN_MS": "250",
        "OKIBI_BUSY_WAIT_US": "0",
        "OKIBI_METRICS": "shop/tree",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
        "AWS_LAMBDA_LOG_LEVEL": "debug",
        "AWS_LAMBDA_FUNCTION_NAME": "shop",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/shop",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    }

    settings = read_settings(variables, [])

    assert settings.task_root == "/var/task"
    assert settings.lanes == 16
    assert not settings.pipelined
    assert settings.margin == 0.25
    assert settings.busy_wait == 0
    assert settings.metrics == "shop/tree"
    assert not settings.on_demand
    assert settings.log_level == "DEBUG"
    assert settings.function_name == "shop"
    assert settings.function_version == "7"
    assert settings.memory == "512"
    assert settings.log_group == "/aws/lambda/shop"
    assert settings.log_stream == "stream"


def test_the_argument_takes_precedence_over_the_handler_variable() -> None:
    assert read_settings(MINIMUM, ["other.handler"]).handler == "other.handler"


def test_the_error_of_a_missing_address_says_how_to_run_a_function() -> None:
    with pytest.raises(InitError, match=r"AWS_LAMBDA_RUNTIME_API is not set: .*okibi invoke"):
        read_settings({"_HANDLER": "app.handler"}, [])


@pytest.mark.parametrize(
    "name", ["AWS_LAMBDA_MAX_CONCURRENCY", "OKIBI_DEADLINE_MARGIN_MS", "OKIBI_BUSY_WAIT_US"]
)
@pytest.mark.parametrize("text", ["many", "-1", "nan", "inf", "-inf", "0x10"])
def test_a_bad_number_is_refused_with_its_variable(name: str, text: str) -> None:
    with pytest.raises(
        InitError, match=rf"{name} must be a number (>= \d+|from \d+ to \d+), got '{text}'"
    ):
        read_settings({**MINIMUM, name: text}, [])


@pytest.mark.parametrize(
    "name", ["AWS_LAMBDA_MAX_CONCURRENCY", "OKIBI_DEADLINE_MARGIN_MS", "OKIBI_BUSY_WAIT_US"]
)
def test_an_empty_number_means_the_default(name: str) -> None:
    assert read_settings({**MINIMUM, name: ""}, []) == read_settings(MINIMUM, [])


def test_a_concurrency_of_zero_is_refused() -> None:
    with pytest.raises(
        InitError, match="AWS_LAMBDA_MAX_CONCURRENCY must be a number >= 1, got '0'"
    ):
        read_settings({**MINIMUM, "AWS_LAMBDA_MAX_CONCURRENCY": "0"}, [])


def test_a_busy_wait_of_over_ten_milliseconds_is_refused() -> None:
    with pytest.raises(InitError, match="OKIBI_BUSY_WAIT_US must be a number from 0 to 10000, got"):
        read_settings({**MINIMUM, "OKIBI_BUSY_WAIT_US": "10001"}, [])


@pytest.mark.parametrize("text", ["1", "0", "AWS/Lambda", "my shop", "a" * 256])
def test_a_bad_namespace_of_metrics_is_refused(text: str) -> None:
    with pytest.raises(InitError, match="OKIBI_METRICS must be a CloudWatch namespace that begins"):
        read_settings({**MINIMUM, "OKIBI_METRICS": text}, [])


@pytest.mark.parametrize(
    ("api", "address"),
    [
        ("127.0.0.1:9001", ("127.0.0.1", 9001)),
        ("169.254.100.1", ("169.254.100.1", 80)),
        ("localhost:80", ("localhost", 80)),
        (":9001", ("127.0.0.1", 9001)),
    ],
)
def test_the_address_is_split_into_host_and_port(api: str, address: tuple[str, int]) -> None:
    assert read_settings({**MINIMUM, "AWS_LAMBDA_RUNTIME_API": api}, []).address == address


@pytest.mark.parametrize("api", ["host:99999", "host:", "host:http", "http://host:80", "a b:80"])
def test_a_bad_address_is_refused(api: str) -> None:
    with pytest.raises(InitError, match="AWS_LAMBDA_RUNTIME_API must be host:port, got"):
        read_settings({**MINIMUM, "AWS_LAMBDA_RUNTIME_API": api}, [])


@pytest.mark.parametrize(
    ("runtime", "ascii_only"),
    [
        ("", True),
        ("AWS_Lambda_python3.11", True),
        ("AWS_Lambda_python3.9", True),
        ("AWS_Lambda_python3.12", False),
        ("AWS_Lambda_python3.14", False),
        ("AWS_Lambda_python3.14x", True),
        ("AWS_Lambda_nodejs22.x", True),
    ],
)
def test_json_is_ascii_except_in_aws_runtimes_from_python_3_12(
    runtime: str, ascii_only: bool
) -> None:
    assert read_settings({**MINIMUM, "AWS_EXECUTION_ENV": runtime}, []).ascii_only is ascii_only


def test_the_initialization_type_turns_snap_start_on() -> None:
    variables = {**MINIMUM, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}

    assert read_settings(variables, []).snap_start
    assert not read_settings(variables, []).on_demand
    assert not read_settings(MINIMUM, []).snap_start


def test_the_loop_is_trio_unless_the_variable_says_asyncio() -> None:
    assert read_settings(MINIMUM, []).loop is None
    assert read_settings({**MINIMUM, "OKIBI_LOOP": ""}, []).loop is None
    assert read_settings({**MINIMUM, "OKIBI_LOOP": "asyncio"}, []).loop == "asyncio"
    with pytest.raises(InitError, match="OKIBI_LOOP must be trio or asyncio, got 'uvloop'"):
        read_settings({**MINIMUM, "OKIBI_LOOP": "uvloop"}, [])


@pytest.mark.parametrize("name", ["OKIBI_PIPELINE", "OKIBI_GRACEFUL_SHUTDOWN"])
def test_a_switch_other_than_0_or_1_is_refused(name: str) -> None:
    with pytest.raises(InitError, match=f"{name} must be 0 or 1, got 'false'"):
        read_settings({**MINIMUM, name: "false"}, [])

    assert read_settings({**MINIMUM, name: ""}, []) == read_settings({**MINIMUM, name: "1"}, [])


def test_crash_reports_must_be_types_or_full() -> None:
    with pytest.raises(InitError, match="OKIBI_CRASH_REPORTS must be types or full, got 'all'"):
        read_settings({**MINIMUM, "OKIBI_CRASH_REPORTS": "all"}, ())
