"""The variables that okibi dev adds to the settings of a sandbox."""

from pathlib import Path
from typing import Any

import pytest

from okibi.dev.dev_function import DevFunction
from okibi.dev.sandbox_settings import list_variables, sandbox_settings
from okibi.local import FunctionSettings

ENDPOINT = "AWS_ENDPOINT_URL_LAMBDA"
SERVICES = list_variables("http://127.0.0.1:9000", Path("/data"), "arn:aws:iam::1:role/local")


def variables(runtime: str = "python3.13", **settings: Any) -> dict[str, str]:
    function = DevFunction(
        FunctionSettings("app.f", **{"inherited": {}, **settings}), runtime=runtime
    )
    return dict(sandbox_settings(function, Path("/folder"), SERVICES).environment)


@pytest.mark.parametrize(
    ("runtime", "execution"),
    [
        ("python3.13", {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"}),
        ("python3.11", {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"}),
        ("provided.al2023", {}),
    ],
)
def test_a_sandbox_has_the_variables_of_its_runtime(
    runtime: str, execution: dict[str, str]
) -> None:
    expected = {**execution, "LAMBDA_RUNTIME_DIR": "/var/runtime", **SERVICES}

    assert variables(runtime) == expected


def test_the_user_s_address_of_lambda_wins() -> None:
    own = {ENDPOINT: "http://other"}

    assert variables(environment=own)[ENDPOINT] == "http://other"
    assert ENDPOINT not in variables(inherited=own)
    assert ENDPOINT not in variables(inherited={ENDPOINT: ""})


def test_the_user_s_store_of_entities_wins() -> None:
    assert variables()["OKIBI_ENTITIES"] == "sqlite:/data/entities.sqlite"
    assert variables(environment={"OKIBI_ENTITIES": "carts"})["OKIBI_ENTITIES"] == "carts"
    assert "OKIBI_ENTITIES" not in variables(inherited={"OKIBI_ENTITIES": "carts"})
