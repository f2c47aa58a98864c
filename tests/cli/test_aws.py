"""Calls by the AWS CLI, by a program that records what it was given."""

import json
import socket
import sys
from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.aws import AwsCli, AwsError, connect, parse_endpoint, wait_for_emulator

PROGRAM = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
(here / "arguments").write_text(json.dumps(sys.argv[1:]))
for argument in sys.argv:
    if argument.startswith("file://"):
        (here / "input").write_text(pathlib.Path(argument[7:]).read_text())
sys.stderr.write({stderr!r})
print('{{"Account": "123456789012"}}')
sys.exit({code})
"""


def program(folder: Path, stderr: str = "", code: int = 0) -> AwsCli:
    path = folder / "aws"
    path.write_text(PROGRAM.format(python=sys.executable, stderr=stderr, code=code))
    path.chmod(0o755)
    return AwsCli("eu-central-1", str(path), "http://127.0.0.1:1")


def test_parameters_are_in_a_file_and_not_in_the_command(tmp_path: Path) -> None:
    answer = program(tmp_path).call("s3", "head_object", Bucket="b", Key="hush")

    arguments = json.loads((tmp_path / "arguments").read_text())
    assert arguments[:2] == ["s3api", "head-object"]
    assert arguments[-6:] == [
        *("--output", "json", "--region", "eu-central-1"),
        *("--endpoint-url", "http://127.0.0.1:1"),
    ]
    assert "hush" not in " ".join(arguments)
    assert json.loads((tmp_path / "input").read_text()) == {"Bucket": "b", "Key": "hush"}
    assert answer == {"Account": "123456789012"}


def test_a_refusal_has_aws_s_code_and_text(tmp_path: Path) -> None:
    said = (
        "\nAn error occurred (ValidationError) when calling the DescribeStacks operation:"
        " Stack with id visits does not exist\n"
    )

    with pytest.raises(AwsError) as caught:
        program(tmp_path, said, 254).call("cloudformation", "describe_stacks", StackName="visits")

    assert caught.value.code == "ValidationError"
    assert caught.value.message == "Stack with id visits does not exist"


def test_missing_credentials_are_told_with_the_cure(tmp_path: Path) -> None:
    aws = program(tmp_path, "Unable to locate credentials. You can configure credentials", 253)

    with pytest.raises(BadInput, match="run `aws configure`"):
        aws.call("sts", "get_caller_identity")


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


def test_an_emulator_needs_no_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path)
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)

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


def test_the_aws_cli_without_an_emulator_says_that_nothing_listens(tmp_path: Path) -> None:
    said = 'Could not connect to the endpoint URL: "http://127.0.0.1:1/"'

    with pytest.raises(BadInput, match=r"nothing listens at http://127[.]0[.]0[.]1:1; is"):
        program(tmp_path, said, 255).call("sts", "get_caller_identity")
