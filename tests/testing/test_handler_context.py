"""`context`: a context object for a handler that a test calls directly."""

import pytest

from okibi import Context
from okibi.testing import after_response, context


def test_a_handler_is_called_with_a_context() -> None:
    def handler(event: str, context: Context) -> tuple[str, bool]:
        return f"hello {event}", 0 < context.get_remaining_time_in_millis() <= 1500

    assert handler("bob", context(remaining=1.5)) == ("hello bob", True)


def test_a_test_runs_the_functions_that_a_handler_has_registered() -> None:
    ran = list[str]()

    def handler(event: str, context: Context) -> None:
        context.after_response(ran.append, event)

    made = context()
    handler("bob", made)
    assert ran == []
    for run in after_response(made):
        run()

    assert ran == ["bob"]
    assert [*after_response(made)] == []


def test_every_attribute_has_what_was_given() -> None:
    made = context(
        request_id="id-1",
        function_name="shop",
        function_version="7",
        memory=256,
        client_context={"custom": {"a": "b"}, "env": {"locale": "de"}},
        identity={"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"},
        tenant_id="blue",
        trace_id="Root=1-2-3",
    )

    assert made.client_context is not None
    assert (made.client_context.custom, made.client_context.env) == ({"a": "b"}, {"locale": "de"})
    assert made.identity.cognito_identity_pool_id == "pool"
    assert made.invoked_function_arn == "arn:aws:lambda:us-east-1:012345678912:function:shop"
    assert (made.aws_request_id, made.function_name, made.function_version) == ("id-1", "shop", "7")
    assert (made.memory_limit_in_mb, made.tenant_id, made.xray_trace_id) == (
        "256", "blue", "Root=1-2-3",
    )  # fmt: skip
    assert made.log_group_name == "/aws/lambda/shop"


def test_without_arguments_nothing_optional_is_set() -> None:
    made = context()

    assert (made.client_context, made.tenant_id) == (None, None)
    assert made.identity.cognito_identity_id is None
    assert made.aws_request_id != context().aws_request_id
    assert type(made).__name__ == "LambdaContext"


def test_a_value_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="tenant_id contains"):
        context(tenant_id="\0")


def test_past_the_deadline_no_time_is_left() -> None:
    assert context(remaining=-1).get_remaining_time_in_millis() == 0
