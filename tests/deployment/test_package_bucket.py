"""Packages are uploaded to a bucket of this account, each once."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from okibi.deployment.aws import Aws, AwsError
from okibi.deployment.package_bucket import Bucket, find_bucket, upload
from okibi.deployment.stacks import MANAGED, PROJECT
from okibi.project.bad_input import BadInput
from tests.support.answering_aws import answering_aws

ACCOUNT = "123456789012"
OWN = Bucket(f"okibi-{ACCOUNT}-eu-central-1", exists=True, owner=ACCOUNT)
BOOTSTRAPPED = {
    "StackStatus": "CREATE_COMPLETE",
    "Tags": [{"Key": MANAGED, "Value": "true"}, {"Key": PROJECT, "Value": "okibi-bootstrap"}],
}


def storage(
    stacks: Sequence[object] = (), refusal: str = "", owners: list[object] | None = None
) -> Aws:
    """An account with some stacks and objects, which refuses; `owners` gets the expected ones."""

    def answer(operation: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        if operation == "describe_stacks":
            return {"Stacks": stacks}
        if owners is not None:
            owners.append(parameters.get("ExpectedBucketOwner"))
        if refusal and (operation, refusal) != ("put_object", "404"):
            raise AwsError(refusal, "")
        return {}

    return answering_aws(answer)


def test_the_user_s_bucket_goes_before_okibi_s() -> None:
    assert find_bucket(storage(), ACCOUNT, "mine") == Bucket("mine", exists=True)


def test_okibi_s_bucket_exists_once_its_stack_does() -> None:
    assert find_bucket(storage([BOOTSTRAPPED]), ACCOUNT, "") == OWN
    assert not find_bucket(storage(), ACCOUNT, "").exists


def test_a_package_that_is_there_is_not_uploaded_again() -> None:
    owners = list[object]()

    assert not upload(storage(owners=owners), OWN, "key", b"")
    assert owners == [ACCOUNT]


def test_okibi_s_bucket_must_belong_to_the_account() -> None:
    owners = list[object]()

    assert upload(storage(refusal="404", owners=owners), OWN, "key", b"")
    assert owners == [ACCOUNT, ACCOUNT]


def test_another_refusal_ends_the_deployment() -> None:
    with pytest.raises(AwsError, match="SlowDown"):
        upload(storage(refusal="SlowDown"), OWN, "key", b"")


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
        upload(storage(refusal="NoSuchBucket"), bucket, "key", b"")
