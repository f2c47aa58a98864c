"""boto3 without a network: a function of the test answers each request."""

from collections.abc import Callable, Mapping
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore import xform_name  # type: ignore[import-untyped]
from botocore.awsrequest import AWSResponse  # type: ignore[import-untyped]
from botocore.loaders import create_loader  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]

from okibi.deployment.aws import Aws, AwsError

__all__ = ["REGION", "Answer", "answering_aws"]

REGION = "eu-central-1"
LOADER = create_loader()
"""One for all accounts: it keeps the services' models that it has read."""
Answer = Callable[[str, dict[str, Any]], Mapping[str, Any]]


def answering_aws(answer: Answer) -> Aws:
    """Make an account. boto3 checks parameters, reads pages and waits as it does with AWS.

    Args:
        answer: takes an operation, such as `describe_stacks`, and its parameters; returns the
            parsed answer, or raises AwsError.
    """
    core = Session()
    core.register_component("data_loader", LOADER)
    session = boto3.session.Session("id", "secret", region_name=REGION, botocore_session=core)
    asked = dict[str, Any]()

    def keep(params: dict[str, Any], **_: object) -> None:
        asked.clear()
        asked.update(params)

    def respond(model: Any, **_: object) -> tuple[Any, Mapping[str, Any]]:
        try:
            return AWSResponse(None, 200, {}, None), answer(xform_name(model.name), dict(asked))
        except AwsError as error:
            told = {"Code": error.code, "Message": error.message}
            return AWSResponse(None, 400, {}, None), {"Error": told, "ResponseMetadata": {}}

    session.events.register("before-parameter-build", keep)
    session.events.register("before-call", respond)
    return Aws(REGION, session)
