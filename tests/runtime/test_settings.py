"""What the environment says, and what holds where it says nothing."""

from pathlib import Path

import pytest

from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.settings import Settings, read_settings

LEAST = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "_HANDLER": "app.handler"}


def test_all_but_the_address_and_the_handler_has_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert read_settings(LEAST, []) == Settings(
        api="127.0.0.1:9001",
        handler="app.handler",
        task_root=tmp_path,
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


def test_everything_can_be_said() -> None:
    said = {
        **LEAST,
        "LAMBDA_TASK_ROOT": "/var/task",
        "AWS_LAMBDA_MAX_CONCURRENCY": "16",
        "OKIBI_PIPELINE": "0",
        "OKIBI_DEADLINE_MARGIN_MS": "250",
        "OKIBI_BUSY_WAIT_US": "0",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
        "AWS_LAMBDA_LOG_LEVEL": "debug",
        "AWS_LAMBDA_FUNCTION_NAME": "shop",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/shop",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    }

    settings = read_settings(said, [])

    assert settings.task_root == Path("/var/task")
    assert settings.lanes == 16
    assert not settings.pipelined
    assert settings.margin == 0.25
    assert settings.busy_wait == 0
    assert not settings.on_demand
    assert settings.log_level == "DEBUG"
    assert settings.function_name == "shop"
    assert settings.function_version == "7"
    assert settings.memory == "512"
    assert settings.log_group == "/aws/lambda/shop"
    assert settings.log_stream == "stream"


def test_the_argument_is_the_handler_before_the_variable() -> None:
    assert read_settings(LEAST, ["other.handler"]).handler == "other.handler"


def test_without_the_address_the_sentence_says_who_sets_it() -> None:
    with pytest.raises(InitError, match=r"AWS_LAMBDA_RUNTIME_API is not set: .*okibi invoke"):
        read_settings({"_HANDLER": "app.handler"}, [])


@pytest.mark.parametrize(
    "name", ["AWS_LAMBDA_MAX_CONCURRENCY", "OKIBI_DEADLINE_MARGIN_MS", "OKIBI_BUSY_WAIT_US"]
)
@pytest.mark.parametrize("text", ["many", "-1", "nan", "inf", "-inf", "0x10"])
def test_a_number_that_is_none_is_named(name: str, text: str) -> None:
    with pytest.raises(
        InitError, match=rf"{name} must be a number (>= \d+|from \d+ to \d+), got '{text}'"
    ):
        read_settings({**LEAST, name: text}, [])


@pytest.mark.parametrize(
    "name", ["AWS_LAMBDA_MAX_CONCURRENCY", "OKIBI_DEADLINE_MARGIN_MS", "OKIBI_BUSY_WAIT_US"]
)
def test_an_empty_number_is_none_said(name: str) -> None:
    assert read_settings({**LEAST, name: ""}, []) == read_settings(LEAST, [])


def test_no_lane_is_too_few() -> None:
    with pytest.raises(
        InitError, match="AWS_LAMBDA_MAX_CONCURRENCY must be a number >= 1, got '0'"
    ):
        read_settings({**LEAST, "AWS_LAMBDA_MAX_CONCURRENCY": "0"}, [])


def test_no_busy_wait_is_longer_than_ten_milliseconds() -> None:
    with pytest.raises(InitError, match="OKIBI_BUSY_WAIT_US must be a number from 0 to 10000, got"):
        read_settings({**LEAST, "OKIBI_BUSY_WAIT_US": "10001"}, [])


@pytest.mark.parametrize(
    ("api", "address"),
    [
        ("127.0.0.1:9001", ("127.0.0.1", 9001)),
        ("169.254.100.1", ("169.254.100.1", 80)),
        ("localhost:80", ("localhost", 80)),
        (":9001", ("127.0.0.1", 9001)),
    ],
)
def test_the_address_is_host_and_port(api: str, address: tuple[str, int]) -> None:
    assert read_settings({**LEAST, "AWS_LAMBDA_RUNTIME_API": api}, []).address == address


@pytest.mark.parametrize("api", ["host:99999", "host:", "host:http", "http://host:80", "a b:80"])
def test_an_address_that_is_none_is_refused_with_what_it_should_be(api: str) -> None:
    with pytest.raises(InitError, match="AWS_LAMBDA_RUNTIME_API must be host:port, got"):
        read_settings({**LEAST, "AWS_LAMBDA_RUNTIME_API": api}, [])


@pytest.mark.parametrize(
    ("runtime", "escaped"),
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
def test_text_is_escaped_but_in_aws_s_own_runtimes_from_python_3_12_on(
    runtime: str, escaped: bool
) -> None:
    assert read_settings({**LEAST, "AWS_EXECUTION_ENV": runtime}, []).ascii_only is escaped


def test_a_snapshot_is_taken_where_the_initialization_type_says_so() -> None:
    told = {**LEAST, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}

    assert read_settings(told, []).snap_start
    assert not read_settings(told, []).on_demand
    assert not read_settings(LEAST, []).snap_start


def test_the_loop_is_trio_s_unless_the_variable_says_asyncio() -> None:
    assert read_settings(LEAST, []).loop == "trio"
    assert read_settings({**LEAST, "OKIBI_LOOP": ""}, []).loop == "trio"
    assert read_settings({**LEAST, "OKIBI_LOOP": "asyncio"}, []).loop == "asyncio"
    with pytest.raises(InitError, match="OKIBI_LOOP must be trio or asyncio, got 'uvloop'"):
        read_settings({**LEAST, "OKIBI_LOOP": "uvloop"}, [])


@pytest.mark.parametrize("name", ["OKIBI_PIPELINE", "OKIBI_GRACEFUL_SHUTDOWN"])
def test_a_switch_that_is_none_is_named_and_not_taken_for_on(name: str) -> None:
    with pytest.raises(InitError, match=f"{name} must be 0 or 1, got 'false'"):
        read_settings({**LEAST, name: "false"}, [])

    assert read_settings({**LEAST, name: ""}, []) == read_settings({**LEAST, name: "1"}, [])


def test_what_a_crash_report_shows_is_one_of_two_words() -> None:
    with pytest.raises(InitError, match="OKIBI_CRASH_REPORTS must be types or full, got 'all'"):
        read_settings({**LEAST, "OKIBI_CRASH_REPORTS": "all"}, ())
