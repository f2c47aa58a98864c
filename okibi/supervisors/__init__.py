"""SupervisorSpec of actors as OTP defines it.

The second layer of okibi; it knows `actors` only. The docstring of `Supervisor` is the place to
start reading: what a supervisor does, and why. Then what is needed:

    Child, SupervisorSpec        what children there are, and what to do about them: values
    Supervisor, supervise     who does it; `start_child` and its like while it lives
    Dynamic                   children that come and go: DynamicSupervisor
    Partitions                N copies of a child, one for each key: PartitionSupervisor
    Tasks                     one function, run apart: TaskSupervisor, run_task, TaskStream
    Application               a named tree with needs and hooks: start_applications
    snapshot, stop_report     how a tree stands, and how it has stopped

Modules: `spec` and `flags` hold the values, `child_state` and `strategy` decide, `child_place` and
`parent` are what all kinds of supervisor share.
"""

import importlib
from typing import TYPE_CHECKING

from .admin import (
    AlreadyPresent,
    AlreadyStarted,
    ChildFailed,
    ChildInfo,
    Counts,
    MaxChildren,
    NotFound,
    Restarting,
    Running,
)
from .any_supervisor_spec import AnySupervisorSpec, AutoShutdown, Backoff
from .child_state import ChildState
from .parent import stop_report
from .restarter import SupervisorGaveUp
from .spec import BRUTAL_KILL, INFINITY, Child, Restart, Strategy, SupervisorSpec
from .spec_error import SpecError
from .stop_reports import Stopped, StopReport
from .supervisor import Supervisor, supervise

__all__ = [
    "BRUTAL_KILL",
    "INFINITY",
    "AlreadyPresent",
    "AlreadyStarted",
    "AnySupervisorSpec",
    "Application",
    "ApplicationController",
    "ApplicationEnded",
    "ApplicationFailed",
    "ApplicationInfo",
    "ApplicationKind",
    "Applications",
    "AutoShutdown",
    "Backoff",
    "Child",
    "ChildFailed",
    "ChildInfo",
    "ChildState",
    "Counts",
    "DynamicSupervisor",
    "DynamicSupervisorSpec",
    "FixedChildren",
    "ItemOutcome",
    "MaxChildren",
    "NoPartition",
    "NotFound",
    "OnTimeout",
    "PartitionAddress",
    "PartitionSupervisor",
    "PartitionSupervisorSpec",
    "PartitionedName",
    "Restart",
    "Restarting",
    "Running",
    "Snapshot",
    "SpecError",
    "StopReport",
    "Stopped",
    "Strategy",
    "Supervisor",
    "SupervisorGaveUp",
    "SupervisorSpec",
    "Task",
    "TaskStream",
    "TaskSupervisor",
    "TaskSupervisorSpec",
    "append_arguments",
    "application_nursery",
    "callers",
    "run_task",
    "snapshot",
    "start_applications",
    "stop_report",
    "supervise",
]

# Which room a name comes from that a plain tree does not need: imported when first asked for,
# since every import is paid for at a cold start.
_LATE = {
    "Application": "application",
    "ApplicationController": "application_controller",
    "ApplicationEnded": "application_controller",
    "ApplicationFailed": "application_controller",
    "ApplicationInfo": "application_controller",
    "ApplicationKind": "application",
    "Applications": "application_controller",
    "DynamicSupervisorSpec": "dynamic",
    "DynamicSupervisor": "dynamic",
    "FixedChildren": "partition",
    "ItemOutcome": "task_stream",
    "NoPartition": "partition",
    "OnTimeout": "task_stream",
    "PartitionAddress": "partition",
    "PartitionSupervisor": "partition",
    "PartitionedName": "partition",
    "PartitionSupervisorSpec": "partition",
    "Snapshot": "snapshots",
    "Task": "tasks",
    "TaskStream": "task_stream",
    "TaskSupervisor": "tasks",
    "TaskSupervisorSpec": "tasks",
    "append_arguments": "dynamic",
    "application_nursery": "application_controller",
    "callers": "tasks",
    "run_task": "tasks",
    "snapshot": "snapshots",
    "start_applications": "application_controller",
}

if TYPE_CHECKING:
    from .application import (
        Application,
        ApplicationKind,
    )
    from .application_controller import (
        ApplicationController,
        ApplicationEnded,
        ApplicationFailed,
        ApplicationInfo,
        Applications,
        application_nursery,
        start_applications,
    )
    from .dynamic import DynamicSupervisor, DynamicSupervisorSpec, append_arguments
    from .partition import (
        FixedChildren,
        NoPartition,
        PartitionAddress,
        PartitionedName,
        PartitionSupervisor,
        PartitionSupervisorSpec,
    )
    from .snapshots import Snapshot, snapshot
    from .task_stream import ItemOutcome, OnTimeout, TaskStream
    from .tasks import Task, TaskSupervisor, TaskSupervisorSpec, callers, run_task
else:  # to a type checker every name would be there, as an object

    def __getattr__(name: str) -> object:
        room = _LATE.get(name)
        if room is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{room}", __name__), name)


def __dir__() -> list[str]:
    """What a shell completes: also what has not been imported yet."""
    return sorted({*globals(), *__all__})
