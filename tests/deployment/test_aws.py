"""The address of AWS, and the translation of boto3's errors."""

import socket
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from okibi.deployment.aws import AwsError, connect, parse_endpoint, wait_for_emulator
from okibi.project.bad_input import BadInput
from tests.support.answering_aws import answering_aws


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the region and the credentials of this machine."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)

    with pytest.raises(
        BadInput, match=r"boto3 is not installed; run: pip install 'okibi\[deploy\]'"
    ):
        connect("eu-central-1")


def test_a_refusal_has_aws_s_code_and_text() -> None:
    def refuse(_operation: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        name = parameters["StackName"]
        raise AwsError("ValidationError", f"Stack with id {name} does not exist")

    with pytest.raises(AwsError) as caught:
        answering_aws(refuse).call("cloudformation", "describe_stacks", StackName="visits")

    assert caught.value.code == "ValidationError"
    assert caught.value.message == "Stack with id visits does not exist"


def test_missing_credentials_are_told_with_the_cure() -> None:
    with pytest.raises(BadInput, match="run `aws configure`"):
        connect("eu-central-1").call("sts", "get_caller_identity")


def test_a_missing_region_is_told_with_the_cure() -> None:
    with pytest.raises(BadInput, match="no AWS region; give --region"):
        connect(None)


def test_a_profile_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(BadInput, match=r"profile .*nobody"):
        connect("eu-central-1")


@pytest.mark.parametrize(
    "wrong",
    ["127.0.0.1:4566", "localhost:4566", "", "http://", "http://127.0.0.1:port", "ftp://a:1",
     "http://127.0.0.1:99999", "http://[::1"],
)  # fmt: skip
def test_an_address_that_is_none_is_told_with_the_form(wrong: str) -> None:
    with pytest.raises(
        BadInput, match=r"must be http:// or https://.*as in http://127[.]0[.]0[.]1:4566"
    ):
        connect("eu-central-1", wrong)


def test_an_address_has_the_port_of_its_scheme() -> None:
    assert parse_endpoint("https://vpce-1.amazonaws.com") == ("vpce-1.amazonaws.com", 443)


def test_an_emulator_needs_no_region() -> None:
    assert connect(None, "http://localhost:4566").region == "us-east-1"


def test_an_emulator_that_has_just_been_started_is_waited_for() -> None:
    told = list[str]()
    with socket.socket() as listener:
        # A port that is bound and does not listen refuses connections.
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def listen(line: str) -> None:
            told.append(line)
            listener.listen()

        wait_for_emulator(url, listen)
        wait_for_emulator(url, told.append)

    assert told == [f"waiting for {url} ..."]


def test_an_emulator_that_never_listens_is_told_in_one_sentence() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"

        with pytest.raises(BadInput, match=f"nothing listens at {url}; is the emulator running"):
            wait_for_emulator(url, print, limit=0)


def test_aws_itself_is_not_waited_for() -> None:
    wait_for_emulator("https://203.0.113.1", print, limit=0)


def test_a_call_to_an_emulator_that_is_not_there_says_that_nothing_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"

        with pytest.raises(BadInput, match=f"nothing listens at {url}; is the emulator running"):
            connect(None, url).call("lambda", "list_functions")
