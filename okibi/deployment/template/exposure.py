"""Say what a deployment opens to everyone: public addresses, and secrets in the environment."""

import re

from ...actors.secret import is_secret_name
from ...project.settings import ProjectFunction
from .http_api import is_public

# Such a variable names a secret, an address or a file, and does not hold a secret.
REFERENCE = re.compile(r"_(arn|id|name|parameter|path|ur[il])$", re.IGNORECASE)


def describe_exposure(function: ProjectFunction) -> list[str]:
    """Describe what everyone may call, and which variables look like secrets; one line each."""
    lines = list[str]()
    routes = [route for route in function.routes if is_public(function, route)]
    url = ["the function URL"] if function.url and function.url.auth == "none" else []
    if routes or url:
        is_open = routes and function.authorizer is None
        cure = "; authorizer in pyproject.toml limits the routes" if is_open else ""
        lines.append(f"public: anyone can call {', '.join([*url, *routes])}{cure}")
    secrets = [
        name
        for name, value in function.environment.items()
        if is_secret_name(name) and not REFERENCE.search(name) and not value.startswith("arn:")
    ]
    if secrets:
        lines.append(
            f"{', '.join(secrets)} in environment: everyone who may read the stack sees the value;"
            " put a secret into Secrets Manager or Parameter Store, and the right to read it into"
            " policies"
        )
    return lines
