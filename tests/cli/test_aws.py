"""Calls by the AWS CLI, by a program that records what it was given."""

import json
import sys
from pathlib import Path

import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.aws import AwsCli, AwsError

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
