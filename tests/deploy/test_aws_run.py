"""`make aws` against MiniStack: it runs the routes that MiniStack knows, and leaves nothing."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from tests.deploy.ministack import BIN, REGION, ROOT, aws_environment, run_ministack

EVENT_ENDS = 2.0
"""Seconds in which the emulator has ended an event."""
CHECKS = (
    "answers; state lives across events",
    "an exception is an answer; the process serves on",
    "a time-out is an answer; the process serves on",
    "sys.exit is an answer; the process serves on",
    "no init phase fails",
    "an answer and the next request leave together",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield url


def command(url: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.aws", "--endpoint-url", url, *more]


def start(url: str, report: Path) -> subprocess.Popen[str]:
    """Start a run with one cold start."""
    version = subprocess.run(
        [BIN / "python", "-c", "import sys; print(*sys.version_info[:2], sep='.')"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    options = ("--yes", "--cold", "1", "--warm", "1", "--python", version, "--output", str(report))
    return subprocess.Popen(
        command(url, *options), cwd=ROOT, env=aws_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def interrupt_at_the_first_check(url: str, folder: Path, number: signal.Signals) -> int:
    """Start a run, send it a signal when all is deployed; return its exit code."""
    with start(url, folder / "report.md") as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("Checking"):
                # The emulator ends the event in flight meanwhile. It would make the log group
                # again for the log of a function that is gone. On AWS the role forbids that.
                run.send_signal(signal.SIGSTOP)
                time.sleep(EVENT_ENDS)
                run.send_signal(number)
                run.send_signal(signal.SIGCONT)
    return run.returncode


def whats_left(url: str) -> list[Any]:
    """Return all that a run could have left in the account."""

    def client(service: str) -> Any:
        return boto3.client(
            service, endpoint_url=url, region_name=REGION,
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    stacks = client("cloudformation").describe_stacks()["Stacks"]
    return [
        *(each["StackName"] for each in stacks if each["StackStatus"] != "DELETE_COMPLETE"),
        *client("lambda").list_functions()["Functions"],
        *client("s3").list_buckets()["Buckets"],
        *client("logs").describe_log_groups()["logGroups"],
        *client("iam").list_roles()["Roles"],
    ]


def test_a_run_checks_okibi_reports_what_it_skipped_and_leaves_nothing(
    url: str, tmp_path: Path
) -> None:
    with start(url, tmp_path / "report.md") as run:
        said, _ = run.communicate(timeout=900)

    assert run.returncode == 0, said
    rows = [line.split(" | ") for line in (tmp_path / "report.md").read_text("utf-8").splitlines()]
    assert {row[1]: row[2] for row in rows if row[0] == "| zip, on the emulator's Python"} == {
        **dict.fromkeys(CHECKS, "yes"),
        "a freeze is noticed": "skipped",
        "a function URL streams": "skipped",
        "SIGTERM at shutdown: `terminate` runs": "skipped",
    }
    assert ["| zip with exec wrapper", "the emulator ignores AWS_LAMBDA_EXEC_WRAPPER |"] in rows
    assert whats_left(url) == []


def test_an_interrupted_run_leaves_nothing(url: str, tmp_path: Path) -> None:
    assert interrupt_at_the_first_check(url, tmp_path, signal.SIGINT) == 1
    assert whats_left(url) == []


def test_what_a_killed_run_has_left_is_removed_after_a_yes(url: str, tmp_path: Path) -> None:
    interrupt_at_the_first_check(url, tmp_path, signal.SIGKILL)
    left = whats_left(url)

    def clean(*more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command(url, "--clean", *more), cwd=ROOT, env=aws_environment(), text=True,
            capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    asked = clean()
    assert asked.returncode == 2
    assert "-shared  CREATE_COMPLETE" in asked.stdout
    assert whats_left(url) == left != []

    assert clean("--yes").returncode == 0
    assert whats_left(url) == []


def test_without_a_yes_nothing_is_made(url: str) -> None:
    asked = subprocess.run(
        command(url), cwd=ROOT, env=aws_environment(), text=True, capture_output=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip

    assert asked.returncode == 2
    assert "Costs about" in asked.stdout
    assert asked.stdout.endswith("Nothing was made.\n")
    assert whats_left(url) == []
