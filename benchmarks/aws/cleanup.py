"""Decide what `make aws-clean` removes, and in which order. Nothing here reads or writes."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from .templates import RUN_TAG

SHARED = "shared"


@attrs.frozen
class Stack:
    """A stack that `make aws` has made.

    Args:
        name: the stack's name, RUN-ROUTE.
        run: the run that has made it.
        status: CloudFormation's status.
        bucket: the bucket of the stack, or "".
    """

    name: str
    run: str
    status: str
    bucket: str = ""

    @property
    def is_shared(self) -> bool:
        """Whether other stacks of the run use this one."""
        return self.name == f"{self.run}-{SHARED}"


@attrs.frozen
class CleanupPlan:
    """What to remove, in this order.

    Args:
        routes: stacks of routes; they can be deleted at the same time.
        buckets: buckets to empty before their stack is deleted.
        shared: stacks that the routes used.
    """

    routes: tuple[str, ...]
    buckets: tuple[str, ...]
    shared: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to remove."""
        return not (self.routes or self.buckets or self.shared)


def find_stacks(described: Iterable[Mapping[str, Any]], run: str = "") -> list[Stack]:
    """Return the stacks that carry the tag of `make aws`.

    Args:
        described: stacks as DescribeStacks returns them.
        run: the run to look for; empty for all runs.
    """
    found: list[Stack] = []
    for stack in described:
        tag = {each["Key"]: each["Value"] for each in stack.get("Tags", ())}.get(RUN_TAG, "")
        name, status = stack["StackName"], stack["StackStatus"]
        # A stack whose name does not begin with its run was made by someone else.
        if not tag or not name.startswith(f"{tag}-") or (run and tag != run):
            continue
        if status != "DELETE_COMPLETE":
            outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
            found.append(Stack(name, tag, status, outputs.get("Bucket", "")))
    return found


def plan_cleanup(stacks: Iterable[Stack]) -> CleanupPlan:
    """Return what to remove: routes first, since they use what is shared."""
    ordered = sorted(stacks, key=lambda stack: stack.name)
    return CleanupPlan(
        routes=tuple(stack.name for stack in ordered if not stack.is_shared),
        buckets=tuple(stack.bucket for stack in ordered if stack.bucket),
        shared=tuple(stack.name for stack in ordered if stack.is_shared),
    )
