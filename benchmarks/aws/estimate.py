"""The resources and the cost of a run. Nothing here reads or writes."""

import math
from collections.abc import Sequence

import attrs

from okibi.bench.prices import Prices

from .routes import DeploymentRoute
from .templates import Settings

# Seconds: the mean of an invocation, deadlines and cold starts included, and rounded up.
INVOCATION = 1.0
# Invocations of the checks of one route.
CHECKS = 20
# SnapStart in US dollars (us-east-1, 2026-06): a GB cached for a second, for three hours or more.
CACHED_GB_SECOND = 0.0000015046
CACHED_SECONDS = 3 * 3600
# A GB-month of images in ECR; a run keeps less than 1 GB for less than an hour.
IMAGES = 0.10 / 730


@attrs.frozen
class Rounds:
    """The size of a measurement.

    Args:
        cold: cold starts of each route.
        warm: warm invocations after each cold start.
    """

    cold: int
    warm: int


def estimate_cents(
    routes: Sequence[DeploymentRoute], settings: Settings, rounds: Rounds, prices: Prices
) -> int:
    """Return the cost of a run in cents, rounded up. The free tier is left out."""
    count = sum(
        rounds.cold * (1 + rounds.warm) + (0 if route.is_official else CHECKS) for route in routes
    )
    gigabytes = settings.memory / 1024
    lambda_price = prices.functions
    dollars = count * lambda_price.requests_per_million / 1e6
    dollars += count * INVOCATION * gigabytes * lambda_price.gb_second[settings.architecture]
    snapshots = sum(len(route.handlers) for route in routes if route.snapstart)
    dollars += snapshots * gigabytes * CACHED_SECONDS * CACHED_GB_SECOND
    if any("docker" in route.needs for route in routes):
        dollars += IMAGES
    return math.ceil(dollars * 100)


def describe(
    routes: Sequence[DeploymentRoute],
    skipped: Sequence[tuple[DeploymentRoute, str]],
    settings: Settings,
    rounds: Rounds,
    *,
    account: str,
    region: str,
    cents: int,
) -> str:
    """Return what the user is asked to agree to."""
    functions = sum(len(route.handlers) for route in routes)
    lines = [
        f"Account {account}, region {region}.",
        f"Makes {len(routes) + 1} CloudFormation stacks named {settings.run}-*, with:",
        f"  {functions} functions of {settings.memory} MB on {settings.architecture}",
        "  their log groups, one role, one bucket, function URLs for this account only",
        *(f"  route {route.name}: {route.title}" for route in routes),
        *(f"  not tried: {route.name} ({reason})" for route, reason in skipped),
        f"Measures {rounds.cold} cold starts of each route, {rounds.warm} warm ones after each.",
        f"Costs about {cents} {'cent' if cents == 1 else 'cents'} (without the free tier).",
        "Removes everything at the end, also after Ctrl-C. `make aws-clean` removes what is left.",
    ]
    if any(route.runtime == "custom" for route in routes):
        lines.append(
            "AWS keeps a deleted customer-managed runtime for at least 7 days, without cost."
        )
    return "\n".join(lines)
