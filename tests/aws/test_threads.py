"""boto3 in threads, against a server of the test."""

import threading
from collections.abc import Generator
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
import trio
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from okibi import aws
from okibi.aws.threads import THREADS
from tests.support.aws_server import KEYS, Received, answer, aws_server, environment, refusal

LIMITS = Config(connect_timeout=5, read_timeout=5, retries={"max_attempts": 0})


@pytest.fixture(autouse=True)
def keys() -> Generator[pytest.MonkeyPatch]:
    with environment(KEYS) as patch:
        yield patch


def client_of(url: str) -> Any:
    return boto3.client("ssm", "eu-west-1", endpoint_url=url, config=LIMITS)


async def test_a_method_of_boto3_runs_in_a_thread() -> None:
    async def respond(request: Received) -> bytes:
        return answer({"Parameter": request.parameters})

    async with aws_server(respond) as server:
        found = await aws.in_thread(client_of(server.url).get_parameter, Name="/a")

    assert found["Parameter"] == {"Name": "/a"}


async def test_an_error_of_boto3_is_a_failed_call() -> None:
    async def respond(request: Received) -> bytes:
        return refusal("ParameterNotFound")

    async with aws_server(respond) as server:
        with pytest.raises(aws.CallFailed) as caught:
            await aws.in_thread(client_of(server.url).get_parameter, Name="/a")

    error = caught.value
    assert (error.service, error.operation) == ("SSM", "GetParameter")
    assert (error.code, error.message) == ("ParameterNotFound", "no")
    assert (error.status, error.request_id, error.attempts) == (400, "r-1", 1)
    assert isinstance(error.__cause__, ClientError)


async def test_boto3_without_an_answer_is_a_failed_call() -> None:
    with pytest.raises(aws.CallFailed, match="SSM get_parameter: EndpointConnectionError: Could"):
        await aws.in_thread(client_of("http://127.0.0.1:9").get_parameter, Name="/a")


async def test_another_error_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await aws.in_thread(int, "a")


async def test_the_deadline_ends_the_wait_and_the_thread_goes_on() -> None:
    release, ended = threading.Event(), threading.Event()

    def block() -> None:
        release.wait()
        ended.set()

    with trio.move_on_after(0.01) as scope:
        await aws.in_thread(block)
    assert scope.cancelled_caught
    assert not ended.is_set()

    release.set()
    assert await trio.to_thread.run_sync(ended.wait, 30)


async def test_at_most_ten_threads_run_at_once() -> None:
    release, started = threading.Event(), list[None]()

    def block() -> None:
        started.append(None)
        release.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(THREADS + 5):
            nursery.start_soon(aws.in_thread, block)
        with trio.fail_after(30):
            while len(started) < THREADS:  # noqa: ASYNC110, threads count
                await trio.sleep(0.001)
        await trio.sleep(0.01)
        at_once = len(started)
        release.set()

    assert (at_once, len(started)) == (THREADS, THREADS + 5)
