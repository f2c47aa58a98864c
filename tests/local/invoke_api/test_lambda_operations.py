"""The operation of Lambda's API that a request asks for."""

import pytest

from okibi.local.invoke_api.lambda_operations import IMPLEMENTED, find_operation, is_lambda_path


def test_every_operation_of_the_service_model_has_a_path_of_lambda() -> None:
    botocore = pytest.importorskip("botocore.loaders")
    operations = botocore.Loader().load_service_model("lambda", "service-2")["operations"]

    for name, operation in operations.items():
        uri = operation["http"]["requestUri"].partition("?")[0]
        path = "/".join("x" if "{" in part else part for part in uri.split("/"))
        found = find_operation(operation["http"]["method"], path)
        assert is_lambda_path(path), name
        assert (found and found.name) == (name if name in IMPLEMENTED else None)
    assert set(IMPLEMENTED) <= set(operations)


PATHS_OF_FUNCTIONS = [
    "/",
    "/2026-11-30/diary",
    "/functions",
    "/2015-03-31",
    "/x/2015-03-31/functions",
    "/2015-03-31/functionsx",
]


def test_other_paths_belong_to_the_functions() -> None:
    assert [path for path in PATHS_OF_FUNCTIONS if is_lambda_path(path)] == []
