"""The environment variables that Lambda sets for a bootstrap."""

import time
import uuid
from collections.abc import Mapping

from ..settings import REGION, RESERVED_VARIABLES, FunctionSettings

DEFAULTS = {
    "LANG": "en_US.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}

# Without credentials, an SDK searches for them on the network for seconds. With these, the first
# call fails instead.
CREDENTIALS = dict.fromkeys(
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"], "local"
)

LOG_STREAM = "AWS_LAMBDA_LOG_STREAM_NAME"


def process_mark(environment: Mapping[str, str]) -> str:
    """Return the `NAME=value` that only one sandbox's processes have, or ""."""
    name = environment.get(LOG_STREAM)
    return "" if name is None else f"{LOG_STREAM}={name}"


def sandbox_environment(
    settings: FunctionSettings, runtime_api: str, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Return all variables of a new sandbox (Lambda, "Defined runtime environment variables").

    `AWS_EXECUTION_ENV` is left out, because its values name AWS's own runtimes.

    Args:
        settings: the function; its variables override the inherited ones.
        runtime_api: host and port of the Runtime API.
        inherited: the variables of this process.
    """
    # Drop what only Lambda sets. For example, an inherited AWS_LAMBDA_MAX_CONCURRENCY would make
    # the runtime poll for more events than the platform sends.
    allowed = {name: text for name, text in inherited.items() if name not in RESERVED_VARIABLES}
    environment = {**DEFAULTS, **allowed}
    configured = {**allowed, **settings.environment}
    if not configured.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        environment.update(CREDENTIALS)
    initialization = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
    if settings.max_concurrency is not None:
        initialization = {
            "AWS_LAMBDA_MAX_CONCURRENCY": str(settings.max_concurrency),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
        }
    if settings.snap_start:
        initialization = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    return {
        **environment,
        "TZ": ":UTC",
        **settings.environment,
        # boto3 reads the second; Lambda sets both alike.
        **dict.fromkeys(["AWS_REGION", "AWS_DEFAULT_REGION"], _find_region(configured)),
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


def _find_region(variables: Mapping[str, str]) -> str:
    """Return the region of these variables, of the profile that they name, or the default."""
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
    if not region and variables.get("AWS_PROFILE"):
        from ...aws.profiles import read_region

        region = read_region(variables)
    return region or REGION
