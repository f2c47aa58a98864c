"""The AWS CLI against the server of `okibi dev`."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.ministack import BIN, REGION, aws_environment
from tests.limits import HANG
from tests.support.dev_server import dev_function
from tests.support.dev_server_thread import serve_in_thread


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_in_thread([dev_function("greet"), dev_function("closed")]) as address:
        yield address


def run_aws(url: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **aws_environment(),
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "*",
    }
    return subprocess.run(
        [BIN / "aws", "lambda", *command.split(), "--endpoint-url", url, *options],
        env=environment, capture_output=True, text=True, timeout=HANG,
    )  # fmt: skip


def ask_aws(url: str, command: str, *options: str) -> Any:
    """Run a command of the AWS CLI and return what it prints."""
    done = run_aws(url, command, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def test_the_aws_cli_invokes_a_function(url: str, tmp_path: Path) -> None:
    file = tmp_path / "response.json"
    invoke = f"invoke --function-name greet {file}"

    answer = ask_aws(url, f"{invoke} --log-type Tail", "--payload", '{"do": "print", "text": "hi"}')

    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "hi" in base64.b64decode(answer["LogResult"]).decode().splitlines()
    assert json.loads(file.read_text())["event"]["text"] == "hi"
    assert ask_aws(url, f"{invoke} --invocation-type Event") == {"StatusCode": 202}
    assert ask_aws(url, f"{invoke} --invocation-type DryRun") == {"StatusCode": 204}


def test_the_aws_cli_shows_an_error_of_the_function(url: str, tmp_path: Path) -> None:
    answer = ask_aws(
        url, f"invoke --function-name greet {tmp_path / 'response.json'}",
        "--payload", '{"do": "raise", "text": "no"}',
    )  # fmt: skip

    assert answer["FunctionError"] == "Unhandled"


def test_the_aws_cli_names_an_unknown_function(url: str, tmp_path: Path) -> None:
    done = run_aws(url, f"invoke --function-name other {tmp_path / 'response.json'}")

    assert done.returncode != 0
    assert "(ResourceNotFoundException) when calling the Invoke operation" in done.stderr


def test_the_aws_cli_describes_functions(url: str) -> None:
    listed = ask_aws(url, "list-functions --max-items 1")
    function = ask_aws(url, "get-function --function-name greet")

    assert [each["FunctionName"] for each in listed["Functions"]] == ["closed"]
    assert "NextToken" in listed
    assert function["Configuration"]["State"] == "Active"
    assert ask_aws(url, "wait function-active-v2 --function-name greet") is None
