"""cfn-lint accepts the templates of `make aws`."""

import json
from typing import Any

import pytest
from cfnlint.config import ConfigMixIn, ManualArgs
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner

from benchmarks.aws.routes import CUSTOM, EMULATED, LAYER, ROUTES, DeploymentRoute
from benchmarks.aws.templates import Built, Settings, route_template, shared_template

SETTINGS = Settings("okibi-aws-1a2b", "3.13", "arm64", 512)
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/okibi:check"
KNOWN = [route for route in (*ROUTES, EMULATED) if route is not CUSTOM]


def lint(template: Any) -> list[Any]:
    content, mistakes = decode_str(json.dumps(template))
    runner = Runner(ConfigMixIn(**ManualArgs(regions=["eu-central-1"])))
    return mistakes or [*runner.validate_template(content)]


@pytest.mark.parametrize("route", KNOWN, ids=lambda route: route.name)
def test_cfn_lint_accepts_the_template_of_a_route(route: DeploymentRoute) -> None:
    built = Built(
        keys=dict.fromkeys(route.handlers, "function.zip"),
        images=dict.fromkeys(route.handlers, IMAGE),
        layer="layer.zip" if route is LAYER else "",
    )
    role = "arn:aws:iam::123456789012:role/okibi"

    assert lint(route_template(SETTINGS, route, built, role=role, bucket="bucket")) == []


@pytest.mark.parametrize("repository", [False, True])
def test_cfn_lint_accepts_the_template_of_what_the_routes_share(repository: bool) -> None:
    assert lint(shared_template(SETTINGS, repository=repository)) == []
