"""Warnings before a deployment about addresses that it opens to everyone."""

import pytest

from okibi.deployment.template.exposure import describe_exposure
from okibi.project.settings import UrlSettings
from tests.deployment.template.features import FUNCTIONS, JWT, make

LIMITS = "; authorizer in pyproject.toml limits the routes"


@pytest.mark.parametrize(
    ("settings", "line"),
    [({"routes": ("GET /visits", "$default")},
      f"public: anyone can call GET /visits, $default{LIMITS}"),
     ({"routes": ("GET /visits", "OPTIONS /visits"), "authorizer": JWT},
      "public: anyone can call OPTIONS /visits"),
     ({"url": UrlSettings(auth="none")}, "public: anyone can call the function URL"),
     ({"url": UrlSettings(auth="none"), "routes": ("$default",)},
      f"public: anyone can call the function URL, $default{LIMITS}")],
    ids=["routes", "preflight", "url", "both"],
)  # fmt: skip
def test_each_public_address_is_named(settings: dict[str, object], line: str) -> None:
    assert describe_exposure(make(**settings)) == [line]


@pytest.mark.parametrize("name", ["plain", "private url", "routes for iam", "queue"])
def test_nothing_is_said_where_nothing_is_public(name: str) -> None:
    assert describe_exposure(FUNCTIONS[name]) == []


def test_variables_that_look_like_secrets_are_named_without_their_values() -> None:
    environment = {"LEVEL": "info", "DB_PASSWORD": "hunter2", "API_KEY": "hunter2"}

    (line,) = describe_exposure(make(environment=environment))

    assert line.startswith("DB_PASSWORD, API_KEY in environment: everyone who may read the stack")
    assert "Secrets Manager or Parameter Store" in line
    assert "hunter2" not in line


def test_the_name_of_a_secret_is_no_secret() -> None:
    environment = {
        "DB_SECRET_ARN": "x",
        "TOKEN_URL": "https://id.example",
        "SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db",
    }

    assert describe_exposure(make(environment=environment)) == []
