"""The API of EventBridge Scheduler, as far as `okibi dev` implements it: schedules that run once.

A schedule is a file. It survives the end of `okibi dev`, and is removed when its event is queued.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs
import msgspec
import trio

from ..local.invoke_api.invoke_errors import InvokeError
from ..local.invoke_api.invoke_request import find_target
from ..local.invoke_api.operations import LambdaResponse
from ..local.limits import MAX_ASYNCHRONOUS_EVENT_SIZE
from ..local.platform.invocation import Invocation
from .asgi import Receive, Scope, Send, read_body, send_response
from .asynchronous.event_file import EventFileError
from .asynchronous.failure_file import ignore_in_git
from .asynchronous.private_files import make_private_folder, replace_file
from .dev_function import DevFunction, Schedule
from .function_pool import FunctionPool
from .scheduler import Scheduler, schedule_arn

PATH = "/schedules/"
# A part of each signature. The path alone may be a route of a function.
SIGNATURE = b"/scheduler/aws4_request"

_NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
# A schedule whose time has passed runs at once.
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def is_scheduler_request(scope: Scope) -> bool:
    """Return whether a request is signed for EventBridge Scheduler."""
    headers = dict(scope["headers"])
    return scope["path"].startswith(PATH) and SIGNATURE in headers.get(b"authorization", b"")


class _Target(msgspec.Struct, frozen=True, rename="pascal"):
    arn: str
    role_arn: str
    input: str = "{}"


class _Schedule(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of CreateSchedule, without what makes no difference here."""

    schedule_expression: str
    flexible_time_window: Mapping[str, Any]
    target: _Target
    schedule_expression_timezone: str = "UTC"
    group_name: str = "default"
    name: str = ""


@attrs.frozen
class SchedulerApi:
    """Serves CreateSchedule, GetSchedule and DeleteSchedule, and runs the schedules (ASGI 3).

    Args:
        pools: the served functions by name.
        scheduler: runs a schedule.
        folder: the folder of the files. It is made for the first.
        own_folder: whether the folder above is okibi's own, and Git is to ignore it.
        nursery: the tasks of the schedules run there.
    """

    pools: Mapping[str, FunctionPool]
    scheduler: Scheduler
    folder: Path
    own_folder: bool
    nursery: trio.Nursery

    def start(self) -> None:
        """Run the schedules that are kept. Those of functions that are not served wait.

        Raises:
            EventFileError: a file is damaged.
        """
        for path in sorted(self.folder.glob("*.json")):
            try:
                schedule = msgspec.json.decode(path.read_bytes(), type=_Schedule)
                function = self._find_function(schedule)
            except msgspec.DecodeError as error:
                raise EventFileError(
                    f"{path}: is no schedule ({error}); remove the file"
                ) from error
            except InvokeError:
                continue
            self.nursery.start_soon(self._run, path, schedule, function)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            ClientLeft: the client closed the connection.
            InvokeError: the request is refused.
        """
        body = await read_body(receive, MAX_ASYNCHRONOUS_EVENT_SIZE)
        name = scope["path"].removeprefix(PATH)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        group = query.get("groupName", ["default"])[0]
        match scope["method"]:
            case "POST":
                answer: object = self._create(name, body.data)
            case "GET":
                found = self._read(group, name)
                answer = {**msgspec.to_builtins(found), "Arn": schedule_arn(group, name)}
            case "DELETE":
                self._read(group, name)
                self._path(group, name).unlink()
                answer = {}
            case method:
                raise InvokeError(
                    404,
                    "UnknownOperationException",
                    f"okibi dev does not implement {method} {scope['path']}; it implements"
                    " CreateSchedule, GetSchedule, DeleteSchedule",
                )
        await send_response(send, LambdaResponse(200, msgspec.json.encode(answer)))

    def _create(self, name: str, body: bytes) -> dict[str, str]:
        try:
            asked = msgspec.json.decode(body, type=_Schedule)
            _read_schedule(asked)
        except ValueError as error:
            raise _invalid(str(error)) from error
        if not asked.schedule_expression.startswith("at("):
            raise _invalid(
                "okibi dev creates schedules with at(...) only, got"
                f" {asked.schedule_expression!r}; write others into pyproject.toml"
            )
        schedule = msgspec.structs.replace(asked, name=name)
        path, function = self._path(asked.group_name, name), self._find_function(schedule)
        if path.exists():
            raise InvokeError(409, "ConflictException", f"Schedule {name} already exists.")
        make_private_folder(self.folder)
        if self.own_folder:
            ignore_in_git(self.folder.parent)
        replace_file(path, msgspec.json.encode(schedule))
        self.nursery.start_soon(self._run, path, schedule, function)
        return {"ScheduleArn": schedule_arn(asked.group_name, name)}

    def _read(self, group: str, name: str) -> _Schedule:
        try:
            return msgspec.json.decode(self._path(group, name).read_bytes(), type=_Schedule)
        except FileNotFoundError:
            raise InvokeError(
                404, "ResourceNotFoundException", f"Schedule {name} does not exist."
            ) from None

    def _path(self, group: str, name: str) -> Path:
        for each in (group, name):
            if not _NAME.fullmatch(each):
                raise _invalid(f"a name must match {_NAME.pattern}, got {each[:100]!r}")
        return self.folder / f"{group}:{name}.json"

    def _find_function(self, schedule: _Schedule) -> DevFunction:
        arns = {name: pool.function.settings.arn for name, pool in self.pools.items()}
        return self.pools[find_target(schedule.target.arn, "", arns).name].function

    async def _run(self, path: Path, schedule: _Schedule, function: DevFunction) -> None:
        async def put(name: str, invocation: Invocation) -> None:
            # It may have been deleted meanwhile, and another one made of the same name.
            if _is_in(path, schedule):
                await self.scheduler.put(name, invocation)
                _remove(path)

        arn = schedule_arn(schedule.group_name, schedule.name)
        await attrs.evolve(self.scheduler, put=put).run_schedule(
            function, _read_schedule(schedule), arn, _BEGINNING
        )


def _is_in(path: Path, schedule: _Schedule) -> bool:
    return path.exists() and path.read_bytes() == msgspec.json.encode(schedule)


def _remove(path: Path) -> None:
    # Another okibi dev on the folder may have been faster.
    path.unlink(missing_ok=True)


def _read_schedule(schedule: _Schedule) -> Schedule:
    """Read expression, time zone and input.

    Raises:
        ValueError: one of them is wrong.
    """
    return Schedule(
        schedule.schedule_expression, schedule.schedule_expression_timezone, schedule.target.input
    )


def _invalid(message: str) -> InvokeError:
    return InvokeError(400, "ValidationException", message)
