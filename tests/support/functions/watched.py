"""Functions with Sentry, written as in its documentation."""

import os

import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration

sentry_sdk.init(
    dsn=os.environ["SENTRY_DSN"], integrations=[AwsLambdaIntegration()], traces_sample_rate=1.0
)

if os.environ.get("FAILS"):
    raise OSError("no database")


def handler(event, context):
    if "fail" in event:
        raise ValueError(event["fail"])
    sentry_sdk.capture_message(event["say"])
    return event["say"]


async def asynchronous(event, context):
    return handler(event, context)
