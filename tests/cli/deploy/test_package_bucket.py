"""Where packages go: to a bucket of this account, each once."""

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.aws import AwsError
from okibi.cli.deploy.package_bucket import Bucket, find_bucket, upload
from okibi.cli.deploy.stacks import MANAGED, PROJECT

ACCOUNT = "123456789012"
OWN = Bucket(f"okibi-{ACCOUNT}-eu-central-1", exists=True, owner=ACCOUNT)
BOOTSTRAPPED = {
    "StackStatus": "CREATE_COMPLETE",
    "Tags": [{"Key": MANAGED, "Value": "true"}, {"Key": PROJECT, "Value": "okibi-bootstrap"}],
}


@attrs.define(eq=False)
class Storage:
    """Has some stacks and objects, and records what is asked of the bucket's owner."""

    stacks: list[dict[str, Any]] = attrs.Factory(list[dict[str, Any]])
    refusal: str = ""
    region: str = "eu-central-1"
    owners: list[object] = attrs.Factory(list[object])

    def call(self, service: str, operation: str, **parameters: object) -> Mapping[str, Any]:
        if operation == "describe_stacks":
            return {"Stacks": self.stacks}
        self.owners.append(parameters.get("ExpectedBucketOwner"))
        if self.refusal:
            raise AwsError(self.refusal, "")
        return {}

    def upload(self, bucket: str, key: str, content: bytes, owner: str = "") -> None:
        self.owners.append(owner)

    def invoke(self, function: str, event: bytes) -> tuple[Mapping[str, Any], bytes]:
        raise NotImplementedError


def test_the_user_s_bucket_goes_before_okibi_s() -> None:
    assert find_bucket(Storage(), ACCOUNT, "mine") == Bucket("mine", exists=True)


def test_okibi_s_bucket_exists_once_its_stack_does() -> None:
    assert find_bucket(Storage([BOOTSTRAPPED]), ACCOUNT, "") == OWN
    assert not find_bucket(Storage(), ACCOUNT, "").exists


def test_a_package_that_is_there_is_not_uploaded_again() -> None:
    aws = Storage()

    assert not upload(aws, OWN, "key", b"")
    assert aws.owners == [ACCOUNT]


def test_okibi_s_bucket_must_belong_to_the_account() -> None:
    aws = Storage(refusal="404")

    assert upload(aws, OWN, "key", b"")
    assert aws.owners == [ACCOUNT, ACCOUNT]


def test_another_refusal_ends_the_deployment() -> None:
    with pytest.raises(AwsError, match="SlowDown"):
        upload(Storage(refusal="SlowDown"), OWN, "key", b"")


@pytest.mark.parametrize(
    ("bucket", "cure"),
    [
        (Bucket("mine", exists=True), "bucket mine does not exist .*; make it"),
        (OWN, "delete the stack okibi-bootstrap"),
    ],
    ids=["the user's", "okibi's"],
)
def test_a_bucket_that_is_not_there_is_named_with_the_cure(bucket: Bucket, cure: str) -> None:
    with pytest.raises(BadInput, match=cure):
        upload(Storage(refusal="NoSuchBucket"), bucket, "key", b"")
