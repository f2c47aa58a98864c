"""Supervisors as in OTP.

The second layer of okibi. It uses the layer `actors` only. Begin with the docstring of
`Supervisor`.

    Child, SupervisorSpec      the specs of children and supervisors: frozen values
    Supervisor, supervise      children that are known beforehand
    DynamicSupervisor          children that come and go
    PartitionSupervisor        N copies of a child, one for each key
    TaskSupervisor, run_task, TaskStream
                               functions that run as children
    Application, start_applications
                               trees with a name, dependencies and hooks
    snapshot, stop_report      the current state of a tree, and how a supervisor stopped

`spec` and `any_supervisor_spec` hold the values. `child_state` and `strategy` decide. `child_place`
and `parent` are shared by all kinds of supervisor.
"""

import importlib
from typing import TYPE_CHECKING

from .any_supervisor_spec import AnySupervisorSpec, AutoShutdown
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

# The modules of names that a plain tree does not need. The first access imports the module: each
# import makes a cold start slower.
_LAZY_MODULES = {
    "AlreadyPresent": "admin",
    "AlreadyStarted": "admin",
    "ChildFailed": "admin",
    "ChildInfo": "admin",
    "Counts": "admin",
    "MaxChildren": "admin",
    "NotFound": "admin",
    "Restarting": "admin",
    "Running": "admin",
    "append_arguments": "dynamic",
    "Application": "application",
    "application_nursery": "application_controller",
    "ApplicationController": "application_controller",
    "ApplicationEnded": "application_controller",
    "ApplicationFailed": "application_controller",
    "ApplicationInfo": "application_controller",
    "ApplicationKind": "application",
    "Applications": "application_controller",
    "Backoff": "backoff",
    "callers": "tasks",
    "DynamicSupervisor": "dynamic",
    "DynamicSupervisorSpec": "dynamic",
    "FixedChildren": "partition",
    "ItemOutcome": "task_stream",
    "NoPartition": "partition",
    "OnTimeout": "task_stream",
    "PartitionAddress": "partition",
    "PartitionedName": "partition",
    "PartitionSupervisor": "partition",
    "PartitionSupervisorSpec": "partition",
    "run_task": "tasks",
    "Snapshot": "snapshots",
    "snapshot": "snapshots",
    "start_applications": "application_controller",
    "Task": "tasks",
    "TaskStream": "task_stream",
    "TaskSupervisor": "tasks",
    "TaskSupervisorSpec": "tasks",
}

if TYPE_CHECKING:
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
    from .backoff import Backoff
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
else:  # Hidden from type checkers: they would accept any name, as an object.

    def __getattr__(name: str) -> object:
        module = _LAZY_MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    """List all names, including those that are not imported yet."""
    return sorted({*globals(), *__all__})
