"""Lambda's limits, as its service model states them."""

from typing import Any

import pytest

from okibi.local import limits


def test_limits_are_those_of_the_service_model() -> None:
    loaders = pytest.importorskip("botocore.loaders")
    shapes: dict[str, Any] = loaders.Loader().load_service_model("lambda", "service-2")["shapes"]

    assert shapes["MemorySize"]["min"] == limits.MIN_MEMORY
    assert shapes["MemorySize"]["max"] == limits.MAX_MANAGED_MEMORY
    assert shapes["Timeout"]["max"] == limits.MAX_MANAGED_TIMEOUT
    assert f"maximum of {limits.MAX_LISTED_FUNCTIONS} items" in str(
        shapes["ListFunctionsRequest"]["members"]["MaxItems"]
    )
    invoke = shapes["InvocationRequest"]["members"]
    assert f"Up to {limits.MAX_CLIENT_CONTEXT_SIZE:,} bytes" in str(invoke["ClientContext"])
    synchronous, asynchronous = (
        limits.MAX_EVENT_SIZE >> 20,
        limits.MAX_ASYNCHRONOUS_EVENT_SIZE >> 20,
    )
    assert (
        f"{synchronous} MB for synchronous invocations and {asynchronous} MB for asynchronous"
    ) in str(invoke["Payload"])
    timeout = str(shapes["CreateFunctionRequest"]["members"]["Timeout"])
    assert f"maximum allowed value is {limits.MAX_TIMEOUT:,} seconds" in timeout
