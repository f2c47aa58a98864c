"""The ways to put a function on Lambda that `make aws` tries. Nothing here reads or writes."""

import attrs

WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"


@attrs.frozen
class DeploymentRoute:
    """A way to put a function on Lambda.

    Args:
        name: a word for names of stacks and functions.
        title: the route's name in the report.
        format: `okibi package --format`; empty for AWS's own client.
        runtime: Lambda's runtime, with {python} for the version; empty for an image.
        wrapper: AWS_LAMBDA_EXEC_WRAPPER, or empty.
        snapstart: whether versions are made from a snapshot.
        needs: the tools that the route needs: "docker", "interpreter".
    """

    name: str
    title: str
    format: str
    runtime: str
    wrapper: str = ""
    snapstart: bool = False
    needs: frozenset[str] = frozenset()

    @property
    def is_official(self) -> bool:
        """Whether AWS's own client serves."""
        return not self.format

    @property
    def ends_sandboxes(self) -> bool:
        """Whether another configuration lets Lambda end a sandbox that the checks have used."""
        return not (self.is_official or self.snapstart)

    @property
    def handlers(self) -> tuple[str, ...]:
        """The handlers of the route's functions."""
        if self.is_official:
            return ("plain.handler",)
        return ("check.function", "plain.handler", "stream.handler")


OFFICIAL = DeploymentRoute("official", "AWS's own client, zip", "", "python{python}")
MANAGED = DeploymentRoute(
    "managed", "zip with exec wrapper", "managed", "python{python}", "/var/task/bootstrap"
)
LAYER = DeploymentRoute(
    "layer", "layer with exec wrapper", "layer", "python{python}", "/opt/okibi-bootstrap"
)
SNAPSTART = DeploymentRoute(
    "snapstart", "zip with exec wrapper and SnapStart", "managed", "python{python}",
    "/var/task/bootstrap", snapstart=True,
)  # fmt: skip
BUNDLED = DeploymentRoute(
    "bundled", "zip with its own Python", "bundled", "provided.al2023",
    needs=frozenset({"interpreter"}),
)  # fmt: skip
IMAGE = DeploymentRoute("image", "container image", "image", "", needs=frozenset({"docker"}))
CUSTOM = DeploymentRoute(
    "custom", "customer-managed runtime", "runtime", "custom", needs=frozenset({"docker"})
)
ROUTES = (OFFICIAL, MANAGED, LAYER, SNAPSTART, BUNDLED, IMAGE, CUSTOM)
# An emulator without Docker runs `bootstrap` on its own machine, where a Python is.
EMULATED = DeploymentRoute(
    "emulated", "zip, on the emulator's Python", "managed", "provided.al2023"
)


@attrs.frozen
class Conditions:
    """The tools of this machine, and the endpoint.

    Args:
        docker: whether a Docker daemon answers.
        interpreter: the path of a Python for a zip with its own Python, or "".
        endpoint: the URL of an emulator, or "" for AWS.
    """

    docker: bool = False
    interpreter: str = ""
    endpoint: str = ""


def skip_reason(route: DeploymentRoute, conditions: Conditions) -> str:
    """Return why a route cannot be tried, or "".

    >>> skip_reason(BUNDLED, Conditions())
    'no Python is named: give --interpreter'
    """
    if conditions.endpoint and route is not EMULATED and "interpreter" not in route.needs:
        if route.wrapper:
            return "the emulator ignores AWS_LAMBDA_EXEC_WRAPPER"
        return "the emulator does not run it as AWS does"
    if "interpreter" in route.needs and not conditions.interpreter:
        return "no Python is named: give --interpreter"
    if "docker" in route.needs and not conditions.docker:
        return "Docker is not running"
    return ""


def choose_routes(
    names: list[str], conditions: Conditions
) -> tuple[list[DeploymentRoute], list[tuple[DeploymentRoute, str]]]:
    """Return the routes to try, and those to skip with the reason.

    Args:
        names: the routes that the user wants; empty for all.
        conditions: the tools of this machine, and the endpoint.
    """
    known = (*ROUTES, EMULATED) if conditions.endpoint else ROUTES
    wanted = [route for route in known if not names or route.name in names]
    reasons = [(route, skip_reason(route, conditions)) for route in wanted]
    return (
        [route for route, reason in reasons if not reason],
        [(route, reason) for route, reason in reasons if reason],
    )
