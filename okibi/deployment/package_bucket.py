"""The S3 bucket for packages: the user's, or one that a stack of okibi's own makes."""

from collections.abc import Callable, Mapping

import attrs

from ..project.bad_input import BadInput
from .aws import Aws, AwsError
from .change_sets import create_change_set, describe_stack, execute
from .stacks import MANAGED, PROJECT, choose_kind
from .template.intrinsics import Resource, get_output, ref, sub

# The stack of the bucket, and the project that it belongs to.
BOOTSTRAP = "okibi-bootstrap"


@attrs.frozen
class Bucket:
    """A bucket.

    Args:
        name: the bucket's name.
        exists: False if okibi has to make it first.
        owner: the account that must own it; empty for any.
    """

    name: str
    exists: bool
    owner: str = ""


def build_bucket_template() -> Resource:
    """Build the template of okibi's bucket: encrypted and closed to the public."""
    bucket: Resource = {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BucketName": sub("okibi-${AWS::AccountId}-${AWS::Region}"),
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
        },
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The packages that okibi deploy uploads",
        "Resources": {"Bucket": bucket},
        "Outputs": {"Bucket": get_output("The bucket.", ref("Bucket"))},
    }


def find_bucket(aws: Aws, account: str, asked: str) -> Bucket:
    """Find the bucket that takes the package.

    Args:
        aws: the account.
        account: the account's number.
        asked: the user's bucket; empty for okibi's own.

    Raises:
        BadInput: a stack of the name of okibi's own is another's, or has failed.
    """
    if asked:
        return Bucket(asked, True)
    kind = choose_kind(BOOTSTRAP, describe_stack(aws, BOOTSTRAP), BOOTSTRAP)
    # Anyone may take a name that can be guessed, after the bucket was deleted by hand.
    return Bucket(f"okibi-{account}-{aws.region}", kind == "UPDATE", owner=account)


def create_bucket(aws: Aws, report: Callable[[str], None]) -> bool:
    """Create okibi's bucket by the stack `okibi-bootstrap`; False if that has failed."""
    tags: Mapping[str, str] = {MANAGED: "true", PROJECT: BOOTSTRAP}
    change_set = create_change_set(aws, BOOTSTRAP, "CREATE", build_bucket_template(), tags=tags)
    return execute(aws, change_set, report).good


def upload(aws: Aws, bucket: Bucket, key: str, content: bytes) -> bool:
    """Upload a package unless the bucket has it; the key contains the package's hash.

    Returns:
        Whether it was uploaded.

    Raises:
        BadInput: there is no such bucket.
    """
    try:
        return _upload(aws, bucket, key, content)
    except AwsError as error:
        if error.code != "NoSuchBucket":
            raise
        # Only okibi's own has an owner.
        cure = (
            f"delete the stack {BOOTSTRAP}, and okibi deploy makes both again"
            if bucket.owner
            else "make it, or give another --bucket"
        )
        raise BadInput(f"bucket {bucket.name} does not exist (NoSuchBucket); {cure}") from error


def _upload(aws: Aws, bucket: Bucket, key: str, content: bytes) -> bool:
    expected = {"ExpectedBucketOwner": bucket.owner} if bucket.owner else {}
    try:
        aws.call("s3", "head_object", Bucket=bucket.name, Key=key, **expected)
    except AwsError as error:
        # Without the right to list the bucket, S3 answers 403 for a missing object.
        if error.code not in ("404", "403", "NoSuchKey", "NotFound", "Forbidden"):
            raise
        aws.call("s3", "put_object", Bucket=bucket.name, Key=key, Body=content, **expected)
        return True
    return False
