"""Which function on Lambda a name means."""

import pytest

from okibi.cli.project_settings import AliasSettings, ProjectFunction, ProjectSettings
from okibi.cli.remote_invoke import find_deployed

PROJECT = ProjectSettings(
    "shop",
    functions={
        "visits": ProjectFunction("visits", "app.visits"),
        "fast": ProjectFunction("fast", "app.fast", snapstart=True),
        "slow": ProjectFunction("slow", "app.slow", alias=AliasSettings("blue")),
    },
)


@pytest.mark.parametrize(
    ("name", "deployed"),
    [
        ("visits", "visits"),
        ("app.visits", "visits"),
        ("fast", "fast:live"),
        ("slow", "slow:blue"),
        ("other.handler", "shop"),
        ("visits-test", "visits-test"),
        ("arn:aws:lambda:a:1:function:f.g", "arn:aws:lambda:a:1:function:f.g"),
    ],
)
def test_a_name_is_of_the_project_or_of_lambda(name: str, deployed: str) -> None:
    assert find_deployed(PROJECT, name) == deployed
