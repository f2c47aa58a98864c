"""The environment of the bootstrap's process, as Lambda sets it."""

import time
import uuid
from collections.abc import Mapping

from .settings import RESERVED_VARIABLES, FunctionSettings

__all__ = ["process_mark", "sandbox_environment"]

DEFAULTS = {
    "AWS_REGION": "us-east-1",
    "LANG": "en_US.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}

# An SDK without any credentials looks for them on the network for seconds; these fail at the first
# call instead.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

LOG_STREAM = "AWS_LAMBDA_LOG_STREAM_NAME"


def process_mark(environment: Mapping[str, str]) -> str:
    """What only the processes of this sandbox have in their environment; empty if it has none."""
    name = environment.get(LOG_STREAM)
    return "" if name is None else f"{LOG_STREAM}={name}"


def sandbox_environment(
    settings: FunctionSettings, runtime_api: str, inherited: Mapping[str, str]
) -> dict[str, str]:
    """All variables of a new sandbox (Lambda, "Defined runtime environment variables").

    `AWS_EXECUTION_ENV` is left out: it names one of AWS's own runtimes.

    Args:
        settings: of the function; its own variables win over the inherited ones.
        runtime_api: host and port of the Runtime API.
        inherited: the variables of this process.
    """
    # What the platform sets is its own, also where it sets nothing: with a shell's number the
    # runtime would ask for more events than there are.
    left = {name: text for name, text in inherited.items() if name not in RESERVED_VARIABLES}
    environment = {**DEFAULTS, **left}
    told = {**left, **settings.environment}
    if "AWS_REGION" in told or "AWS_PROFILE" not in told:
        # What boto3 reads; on Lambda both are the same. A profile has its own region, and this
        # variable would hide that.
        region = told.get("AWS_REGION", DEFAULTS["AWS_REGION"])
        environment.setdefault("AWS_DEFAULT_REGION", region)
    if not told.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        environment.update(CREDENTIALS)
    initialization = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
    if settings.max_concurrency is not None:
        initialization = {
            "AWS_LAMBDA_MAX_CONCURRENCY": str(settings.max_concurrency),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
        }
    return {
        **environment,
        "TZ": ":UTC",
        **settings.environment,
        **initialization,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "_HANDLER": settings.handler,
        "LAMBDA_TASK_ROOT": str(settings.task_root),
        "AWS_LAMBDA_FUNCTION_NAME": settings.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{settings.name}",
        LOG_STREAM: f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid.uuid4().hex}",
    }
