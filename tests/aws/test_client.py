"""Calls: answers, errors, retries within the deadline, the clock, pages, answers of a test."""

import subprocess
import sys
import time
from collections.abc import Generator
from email.utils import formatdate
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from okibi import Child, Function, Name, Server, aws
from okibi.asyncio_loop import from_asyncio, on_asyncio
from okibi.testing import running, virtual_time
from tests.support.aws_server import KEYS, Received, answer, aws_server, environment, refusal

ALONE = """
import sys
import okibi.runtime.tree
from okibi import Function, Handler, Server
from okibi.batch import Batch
print([name for name in sys.modules if name.startswith("okibi.aws")])
"""
USED = """
import sys
from okibi.runtime.startup.lean_trio import import_trio
import_trio()
before = {*sys.modules}
from okibi import aws
names = {name.partition(".")[0] for name in {*sys.modules} - before}
others = {"asyncio", "boto3", "configparser", "email", "httpx", "msgspec", "ssl"}
print(sorted(names & others))
"""


@pytest.fixture(autouse=True)
def keys() -> Generator[pytest.MonkeyPatch]:
    with environment(KEYS) as patch:
        yield patch


def of(*answers: bytes) -> Any:
    """Return a function that gives one answer after the other, and the last one again."""
    left = list(answers)

    async def respond(request: Received) -> bytes:
        return left.pop(0) if len(left) > 1 else left[0]

    return respond


# -- a call


async def test_a_call_is_a_signed_request_and_its_answer_a_dict() -> None:
    async with aws_server(of(answer({"Parameter": {"Value": "EUR"}}))) as server:
        with environment({**KEYS, "AWS_SESSION_TOKEN": "t", "AWS_ENDPOINT_URL": server.url}):
            found = await aws.call("ssm", "GetParameter", {"Name": "/currency"})

    assert found == {"Parameter": {"Value": "EUR"}}
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/")
    assert request.parameters == {"Name": "/currency"}
    assert request.headers["x-amz-target"] == "AmazonSSM.GetParameter"
    assert request.headers["content-type"] == "application/x-amz-json-1.1"
    assert request.headers["x-amz-security-token"] == "t"
    assert "/eu-west-1/ssm/aws4_request, " in request.headers["authorization"]


async def test_the_variable_of_a_service_goes_before_that_of_all() -> None:
    async with aws_server(of(answer({}))) as server:
        with environment({
            **KEYS,
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_SFN": server.url,
        }):  # fmt: skip
            await aws.call("stepfunctions", "StartExecution", {"stateMachineArn": "a"})

    assert len(server.requests) == 1


async def test_a_client_without_a_region_says_where_to_set_one(keys: pytest.MonkeyPatch) -> None:
    keys.delenv("AWS_REGION")

    with pytest.raises(ValueError, match="no region: set AWS_REGION, or give"):
        await aws.Client().call("sqs", "ListQueues")


@pytest.mark.parametrize("region", ["eu west", "eu-west-1\r\nx: 1", "eu\udcff-1", "..", "e" * 64])
async def test_a_region_that_is_no_name_is_refused(keys: pytest.MonkeyPatch, region: str) -> None:
    keys.setenv("AWS_REGION", region)

    with pytest.raises(ValueError, match="AWS_REGION, or region=, is a name such as us-west-2"):
        await aws.call("sqs", "ListQueues")
    with pytest.raises(ValueError, match="AWS_REGION, or region=, is a name such as us-west-2"):
        aws.Client(region=region)


@pytest.mark.parametrize(
    "variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
@pytest.mark.parametrize("text", ["hidden\r\nx-other: 1", "hidden\udcff"])
async def test_a_key_with_a_line_break_is_named_and_not_shown(
    keys: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    keys.setenv(variable, text)

    with pytest.raises(aws.CallFailed, match=f"NoCredentials: {variable} has a line") as caught:
        await aws.call("sqs", "ListQueues")
    assert "hidden" not in str(caught.value)


async def test_a_region_in_a_profile_that_cannot_be_read_is_a_failed_call(
    keys: pytest.MonkeyPatch,
) -> None:
    keys.delenv("AWS_REGION")
    keys.setenv("AWS_CONFIG_FILE", __file__)

    with pytest.raises(aws.CallFailed, match=r"NoCredentials: .*test_client.py cannot be read"):
        await aws.call("sqs", "ListQueues")


async def test_a_client_without_keys_fails_with_the_places(keys: pytest.MonkeyPatch) -> None:
    keys.delenv("AWS_ACCESS_KEY_ID")

    with pytest.raises(aws.CallFailed, match="NoCredentials: AWS_ACCESS_KEY_ID and") as caught:
        await aws.Client().call("sqs", "ListQueues")
    assert caught.value.attempts == 1


def test_a_call_outside_trio_names_the_ways_in() -> None:
    with pytest.raises(RuntimeError, match=r"trio.from_thread.run\(aws.call"):
        aws.call("sqs", "ListQueues").send(None)


# -- from elsewhere


async def test_asyncio_and_threads_call_through_trio() -> None:
    async def main() -> Any:
        return await from_asyncio.run(aws.call, "sqs", "ListQueues")

    async with aws_server(of(answer({"QueueUrls": []}))) as server:
        with environment({**KEYS, "AWS_ENDPOINT_URL": server.url}):
            by_asyncio = await on_asyncio(main)
            by_thread = await trio.to_thread.run_sync(
                lambda: trio.from_thread.run(aws.call, "sqs", "ListQueues")
            )

    assert by_asyncio == by_thread == {"QueueUrls": []}


@attrs.define(eq=False)
class Carts(Server):
    calls: int = 0

    async def load(self) -> Any:
        self.calls += 1
        return await aws.call("dynamodb", "GetItem", {"TableName": "carts"})

    async def count(self) -> int:
        return self.calls


CARTS = Name("carts", Carts)


@virtual_time
async def test_an_actor_outlives_a_refused_call() -> None:
    async def refuse(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        raise aws.CallFailed(service, operation, "ResourceNotFoundException")

    async def handler(event: object, context: object) -> int:
        with pytest.raises(aws.CallFailed, match="dynamodb GetItem: ResourceNotFoundException"):
            await CARTS.call(Carts.load)
        return await CARTS.call(Carts.count)

    function = Function(handler=handler, children=[Child(Carts, name=CARTS)])
    with aws.answer_with(refuse):
        async with running(function) as run:
            assert await run.invoke(None) == 1


# -- errors and retries


async def test_a_refusal_is_an_error_with_all_that_aws_says() -> None:
    refused = refusal("TransactionCanceledException")
    async with aws_server(of(refused)) as server:
        client = aws.Client(endpoint=server.url)
        with pytest.raises(aws.CallFailed) as caught:
            await client.call("dynamodb", "TransactWriteItems", {"secret": "of the parameters"})

    error = caught.value
    assert (error.service, error.operation) == ("dynamodb", "TransactWriteItems")
    assert (error.code, error.message, error.status) == ("TransactionCanceledException", "no", 400)
    assert (error.request_id, error.attempts, len(server.requests)) == ("r-1", 1, 1)
    assert error.answer["__type"] == "com.amazonaws#TransactionCanceledException"
    assert "secret" not in repr(error) + str(error)


async def test_a_throttled_call_is_sent_again_with_a_new_signature() -> None:
    throttled = refusal("ThrottlingException")
    async with aws_server(of(throttled, answer({}, 503), answer({"a": 1}))) as server:
        assert await aws.Client(endpoint=server.url).call("dynamodb", "Scan") == {"a": 1}

    assert len(server.requests) == 3


async def test_the_last_error_is_raised_after_all_attempts() -> None:
    async with aws_server(of(answer({"__type": "Busy"}, 503))) as server:
        client = aws.Client(endpoint=server.url, attempts=2)
        with pytest.raises(aws.CallFailed, match=r"Busy \(HTTP 503, request r-1, 2 attempts\)"):
            await client.call("dynamodb", "Scan")

    assert len(server.requests) == 2


async def test_no_retry_begins_that_ends_after_the_deadline(autojump_clock: MockClock) -> None:
    sent = list[float]()

    async def throttle(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        sent.append(trio.current_time())
        raise aws.CallFailed(service, operation, "ThrottlingException")

    client, began = aws.Client(attempts=1000), trio.current_time()
    with aws.answer_with(throttle), pytest.raises(aws.CallFailed) as caught, trio.fail_after(3):
        await client.call("dynamodb", "Scan")

    assert caught.value.attempts == len(sent) > 1
    assert trio.current_time() == sent[-1] < began + 3


async def test_a_wrong_clock_is_corrected_by_the_date_of_the_answer() -> None:
    date = formatdate(time.time() + 3600, usegmt=True)
    async with aws_server(
        of(refusal("InvalidSignatureException", Date=date), answer({}))
    ) as server:
        client = aws.Client(endpoint=server.url)
        await client.call("dynamodb", "Scan")
        await client.call("dynamodb", "Scan")

    stamps = [each.headers["x-amz-date"] for each in server.requests]
    first, *others = [time.mktime(time.strptime(each, "%Y%m%dT%H%M%SZ")) for each in stamps]
    ahead = [each - first for each in others]
    assert [round(seconds / 60) for seconds in ahead] == [60, 60]


async def test_a_wrong_signature_under_a_right_clock_is_an_error_at_once() -> None:
    refused = refusal("InvalidSignatureException", Date=formatdate(usegmt=True))
    async with aws_server(of(refused)) as server:
        with pytest.raises(aws.CallFailed, match="InvalidSignatureException"):
            await aws.Client(endpoint=server.url).call("dynamodb", "Scan")

    assert len(server.requests) == 1


async def test_keys_that_a_service_refuses_as_expired_are_fetched_again() -> None:
    async def respond(request: Received) -> bytes:
        if request.method == "GET":
            fetched.append(request)
            return answer({"AccessKeyId": f"AK{len(fetched)}", "SecretAccessKey": "s"})
        is_old = "Credential=AK1/" in request.headers["authorization"]
        return refusal("ExpiredTokenException") if is_old else answer({"a": 1})

    fetched = list[Received]()
    async with aws_server(respond) as server:
        variables = {"AWS_REGION": "eu-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url}
        with environment(variables):
            assert await aws.Client(endpoint=server.url).call("dynamodb", "Scan") == {"a": 1}

    assert len(fetched) == 2


# -- pages


@pytest.mark.parametrize(
    ("field", "parameter"),
    [
        ("LastEvaluatedKey", "ExclusiveStartKey"),
        ("NextToken", "NextToken"),
        ("NextMarker", "Marker"),
    ],
)
async def test_each_page_is_asked_for_with_the_token_of_the_last(
    field: str, parameter: str
) -> None:
    given = {"TableName": "a"}

    async def serve(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append(parameters)
        return {"Items": [len(asked)], **({field: str(len(asked))} if len(asked) < 3 else {})}

    asked = list[dict[str, Any]]()
    with aws.answer_with(serve):
        items = [page["Items"] async for page in aws.pages("dynamodb", "Query", given)]

    assert items == [[1], [2], [3]]
    assert asked == [given, {**given, parameter: "1"}, {**given, parameter: "2"}]


# -- the answers of a test


async def test_a_function_of_a_test_answers_without_region_and_keys() -> None:
    async def serve(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"asked": [service, operation, parameters]}

    with environment({}):
        client = aws.Client()
        with aws.answer_with(serve):
            encrypted = await client.call("kms", "Encrypt", {"Plaintext": b"a"})
            invoked = await client.call("lambda", "Invoke", {"FunctionName": "f", "Payload": [1]})
        with pytest.raises(ValueError, match="no region"):
            await client.call("kms", "Encrypt")

    assert encrypted["asked"] == ["kms", "Encrypt", {"Plaintext": "YQ=="}]
    assert invoked["asked"] == ["lambda", "Invoke", {"FunctionName": "f", "Payload": [1]}]


async def test_a_plain_function_may_answer_and_sees_no_wrong_call() -> None:
    asked = list[str]()

    def serve(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append(operation)
        return {"a": 1}

    with aws.answer_with(serve):
        assert await aws.call("sqs", "ListQueues") == {"a": 1}
        with pytest.raises(ValueError, match="aws does not call 'sqss'"):
            await aws.call("sqss", "ListQueues")

    assert asked == ["ListQueues"]


# -- imports


def printed(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_a_function_without_aws_imports_none_of_it() -> None:
    assert printed(ALONE) == "[]\n"


def test_the_client_imports_neither_ssl_nor_another_client() -> None:
    assert printed(USED) == "[]\n"


def test_each_name_of_okibi_aws_is_there() -> None:
    names: dict[str, object] = {}
    exec("from okibi.aws import *", names)

    assert {*aws.__all__} <= {*names}
