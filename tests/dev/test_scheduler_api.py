"""EventBridge Scheduler's API in `okibi dev`: alarms of entities, called by `okibi.aws`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from okibi import aws
from okibi.dev.asynchronous.event_file import EventFileError
from okibi.dev.dev_server import DevServerOptions, open_dev_server
from okibi.local.settings import arn_of
from tests.support.dev_server import Served, dev_function, serve_functions

ROLE = "arn:aws:iam::012345678912:role/local"
LATER = "at(2126-12-02T10:20:00)"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")


async def call(served: Served, operation: str, **parameters: Any) -> dict[str, Any]:
    client = aws.Client(endpoint=served.server.url, attempts=1)
    return await client.call("scheduler", operation, parameters)


async def create(
    served: Served, name: str = "bob", at: str = LATER, function: str = "function", **more: Any
) -> dict[str, Any]:
    """Create a schedule as an entity does."""
    target = {
        "Arn": arn_of(function),
        "RoleArn": ROLE,
        "Input": json.dumps({"do": "print", "text": name}),
    }
    return await call(
        served,
        "CreateSchedule",
        **{
            "Name": name,
            "GroupName": "default",
            "ScheduleExpression": at,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": target,
            **more,
        },
    )


async def wait_for_ring(served: Served) -> None:
    await served.log.wait_for(lambda line: line.strip() == "bob")


async def fails(code: str, served: Served, operation: str, **parameters: Any) -> str:
    with pytest.raises(aws.CallFailed) as caught:
        await call(served, operation, **parameters)
    assert caught.value.code == code
    return str(caught.value)


async def test_a_schedule_that_is_due_invokes_its_function_and_is_gone(tmp_path: Path) -> None:
    async with serve_functions(data=tmp_path) as served:
        made = await create(served, at="at(2020-01-01T00:00:00)")
        await wait_for_ring(served)

        assert made["ScheduleArn"].endswith(":schedule/default/bob")
        await fails("ResourceNotFoundException", served, "GetSchedule", Name="bob")


async def test_a_second_schedule_of_a_name_is_a_conflict(tmp_path: Path) -> None:
    async with serve_functions(data=tmp_path) as served:
        await create(served)
        with pytest.raises(aws.CallFailed) as caught:
            await create(served)

        assert (caught.value.code, caught.value.status) == ("ConflictException", 409)
        await create(served, GroupName="other")


async def test_a_deleted_schedule_does_not_ring(tmp_path: Path) -> None:
    async with serve_functions(data=tmp_path) as served:
        await create(served)
        found = await call(served, "GetSchedule", Name="bob")
        assert found["ScheduleExpression"] == LATER
        assert found["Target"]["Input"] == '{"do": "print", "text": "bob"}'

        assert await call(served, "DeleteSchedule", Name="bob") == {}
        await fails("ResourceNotFoundException", served, "DeleteSchedule", Name="bob")
        await fails("ResourceNotFoundException", served, "GetSchedule", Name="bob")
    async with serve_functions(data=tmp_path) as served:
        await fails("ResourceNotFoundException", served, "GetSchedule", Name="bob")


async def test_a_schedule_outlives_okibi_dev(tmp_path: Path) -> None:
    async with serve_functions(data=tmp_path) as served:
        await create(served)
    (file,) = (tmp_path / "schedules").iterdir()
    file.write_text(file.read_text().replace("2126", "2025"))

    async with serve_functions([dev_function("other")], data=tmp_path):
        assert file.exists()
    async with serve_functions(data=tmp_path) as served:
        await wait_for_ring(served)
        assert not file.exists()


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "schedules").mkdir()
    (tmp_path / "schedules" / "default:bob.json").write_text("{")

    with pytest.raises(EventFileError, match=r"default:bob\.json: is no schedule"):
        async with open_dev_server([dev_function()], DevServerOptions(port=0, data=tmp_path)):
            raise AssertionError


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ScheduleExpression": "rate(5 minutes)"}, "schedules with at(...) only"),
        ({"ScheduleExpression": "at(tomorrow)"}, "must be yyyy-mm-ddThh:mm:ss"),
        ({"Name": "cart:bob"}, "a name must match"),
        ({"Name": "x" * 65}, "a name must match"),
        ({"Target": {"Arn": arn_of("function")}}, "missing required field `RoleArn`"),
        (
            {"Target": {"Arn": arn_of("function"), "RoleArn": ROLE, "Input": "ring"}},
            "input must be an event as JSON",
        ),
    ],
)
async def test_what_aws_would_refuse_is_refused(
    tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    async with serve_functions(data=tmp_path) as served:
        with pytest.raises(aws.CallFailed, match=re.escape(said)) as caught:
            await create(served, **wrong)

        assert caught.value.code == "ValidationException"
        assert not (tmp_path / "schedules").exists()


async def test_a_target_that_is_not_served_is_refused(tmp_path: Path) -> None:
    async with serve_functions(data=tmp_path) as served:
        with pytest.raises(aws.CallFailed, match="served here: function"):
            await create(served, function="other")


async def test_the_path_without_a_signature_is_a_route_of_the_function(tmp_path: Path) -> None:
    async with serve_functions(data=tmp_path) as served:
        answer = await served.http.get(f"{served.server.url}/schedules/bob")

        assert answer.json()["event"]["rawPath"] == "/schedules/bob"
