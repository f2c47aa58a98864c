"""Add the variables and the command of `okibi dev` to the settings of sandboxes."""

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from ..local.settings import FunctionSettings
from .dev_function import DevFunction

# The arguments of an ordinary start (`FunctionSettings.command`).
PLAIN = ("-P", "-m", "okibi.runtime")


def list_variables(url: str, data: Path, role: str) -> dict[str, str]:
    """List the variables by which a function finds what `okibi dev` does for it.

    Args:
        url: the URL of the server, with the APIs of Lambda and EventBridge Scheduler.
        data: the folder in which entities are kept.
        role: the ARN of the function's role.
    """
    return {
        "AWS_ENDPOINT_URL_LAMBDA": url,
        "AWS_ENDPOINT_URL_SCHEDULER": url,
        "OKIBI_ENTITIES": f"sqlite:{data / 'entities.sqlite'}",
        "OKIBI_ENTITIES_ROLE": role,
    }


def sandbox_settings(
    function: DevFunction, folder: Path, variables: Mapping[str, str]
) -> FunctionSettings:
    """Return the settings of the sandboxes of a function.

    A sandbox answers with its tree. It has the variables of the function's runtime on Lambda
    ("Defined runtime environment variables"): without AWS_EXECUTION_ENV, AWS's client and okibi
    escape `é` in a result, and 5 MB of text grow to 15. A function with a command of its own is
    left as it is.

    Args:
        function: the function. Its variables win over those added here.
        folder: the folder for the sockets, of this user only and with a short path.
        variables: further variables. A variable that the sandbox inherits has precedence.
    """
    settings = function.settings
    if tuple(settings.command[1:]) != PLAIN:
        return settings
    inherited = os.environ if settings.inherited is None else settings.inherited
    added = {"LAMBDA_RUNTIME_DIR": "/var/runtime"}
    if function.runtime.startswith("python"):
        # Not with provided.al2023, whose functions bring the runtime with them.
        added["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{function.runtime}"
    added |= {name: value for name, value in variables.items() if name not in inherited}
    command = (settings.command[0], "-P", "-m", "okibi.runtime.observed", str(folder))
    environment = {**added, **settings.environment}
    return attrs.evolve(settings, command=command, environment=environment)
