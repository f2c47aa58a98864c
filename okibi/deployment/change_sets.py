"""Make, read, execute and remove change sets of CloudFormation."""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs

from ..project.bad_input import BadInput
from .aws import Aws, AwsError
from .stacks import EMPTY, StackOutcome, has_no_changes, list_reasons, read_outcome

MAX_TEMPLATE = 51_200
PAUSE = 0.5
# Seconds.
LONGEST_COMPARISON = 3600.0


@attrs.frozen
class ChangeSet:
    """A change set that has been made.

    Args:
        stack: the name of the stack.
        name: the name of the change set.
        is_first: whether the stack is new; CloudFormation has made an empty one.
        content: the answer of `describe_change_set`.
    """

    stack: str
    name: str
    is_first: bool
    content: Mapping[str, Any]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to change."""
        return has_no_changes(self.content) or not self.content.get("Changes")


def describe_stack(aws: Aws, name: str) -> Mapping[str, Any] | None:
    """Describe a stack; None if there is none."""
    try:
        stacks = aws.call("cloudformation", "describe_stacks", StackName=name)["Stacks"]
    except AwsError as error:
        if error.code == "ValidationError" and "does not exist" in error.message:
            return None
        raise
    return stacks[0] if stacks and stacks[0]["StackStatus"] != "DELETE_COMPLETE" else None


def create_change_set(
    aws: Aws,
    stack: str,
    kind: str,
    template: Mapping[str, object],
    *,
    tags: Mapping[str, str],
) -> ChangeSet:
    """Make a change set and wait until CloudFormation has compared.

    Args:
        aws: the account.
        stack: the name of the stack.
        kind: `CREATE` or `UPDATE`.
        template, tags: of the stack.

    Raises:
        BadInput: CloudFormation refuses the template, or it is too long.
    """
    body = json.dumps(template, separators=(",", ":"))
    if len(body) > MAX_TEMPLATE:
        raise BadInput(
            f"the template has {len(body):,} bytes, and CloudFormation takes {MAX_TEMPLATE:,};"
            " shorten environment, routes or policies"
        )
    name = f"okibi-{uuid.uuid4().hex[:12]}"
    is_first = describe_stack(aws, stack) is None
    aws.call(
        "cloudformation",
        "create_change_set",
        StackName=stack,
        ChangeSetName=name,
        ChangeSetType=kind,
        TemplateBody=body,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    aws.wait(
        "cloudformation", "change_set_create_complete", pause=PAUSE, limit=LONGEST_COMPARISON,
        StackName=stack, ChangeSetName=name,
    )  # fmt: skip
    content = _describe(aws, stack, name)
    made = ChangeSet(stack, name, is_first, content)
    if content["Status"] == "FAILED" and not has_no_changes(content):
        # Before the change set is removed, and with it what is asked for.
        errors = _list_validation_errors(aws, content)
        remove(aws, made)
        reason = f"CloudFormation refuses the template: {content.get('StatusReason')}"
        raise BadInput("\n".join([reason, *errors]))
    return made


def execute(aws: Aws, change_set: ChangeSet, report: Callable[[str], None]) -> StackOutcome:
    """Execute a change set, and report failed events as they come.

    Args:
        aws: the account.
        change_set: the change set.
        report: takes a line.
    """
    known = {event["EventId"] for event in _list_events(aws, change_set.stack)}
    aws.call(
        "cloudformation",
        "execute_change_set",
        StackName=change_set.stack,
        ChangeSetName=change_set.name,
    )
    begun = False
    while True:
        # Before the status: once there is an event, the status is no longer the one before.
        events = [e for e in _list_events(aws, change_set.stack) if e["EventId"] not in known]
        known.update(event["EventId"] for event in events)
        for reason in list_reasons(events):
            report(f"  failed: {reason}")
        begun = begun or bool(events)
        stack = describe_stack(aws, change_set.stack)
        outcome = read_outcome(stack) if stack else StackOutcome(True, False, "DELETE_COMPLETE")
        if begun and outcome.ended:
            return outcome
        time.sleep(PAUSE)


def remove(aws: Aws, change_set: ChangeSet) -> None:
    """Remove a change set, and the empty stack that was made for it."""
    if change_set.is_first:
        stack = describe_stack(aws, change_set.stack)
        # Else another deployment has executed a change set of its own, and the stack is not empty.
        if stack is not None and stack["StackStatus"] == EMPTY:
            aws.call("cloudformation", "delete_stack", StackName=change_set.stack)
        return
    aws.call(
        "cloudformation",
        "delete_change_set",
        StackName=change_set.stack,
        ChangeSetName=change_set.name,
    )


def _list_validation_errors(aws: Aws, content: Mapping[str, Any]) -> Sequence[str]:
    """List what CloudFormation has found before any change, such as a name that is taken.

    The reason of the change set names only the kind of validation. Without the right to ask for
    more, the list is empty.
    """
    try:
        answer = aws.call(
            "cloudformation", "describe_events",
            # CloudFormation takes the ARN only.
            ChangeSetName=content.get("ChangeSetId", ""), Filters={"FailedEvents": True},
        )  # fmt: skip
    except (AwsError, BadInput):
        return ()
    return [
        f"  {event.get('LogicalResourceId')} ({event.get('ResourceType', '')}): {reason}"
        for event in answer.get("OperationEvents", ())
        if (reason := event.get("ValidationStatusReason"))
    ]


def _describe(aws: Aws, stack: str, name: str) -> Mapping[str, Any]:
    """Describe a change set with all its changes."""
    pages = aws.pages("cloudformation", "describe_change_set", StackName=stack, ChangeSetName=name)
    changes = [change for page in pages for change in page.get("Changes", ())]
    return {**pages[-1], "Changes": changes}


def _list_events(aws: Aws, stack: str) -> Sequence[Mapping[str, Any]]:
    """List the newest events; the first page has a hundred."""
    try:
        answer = aws.call("cloudformation", "describe_stack_events", StackName=stack)
    except AwsError as error:
        if error.code == "ValidationError":
            return ()
        raise
    return cast("Sequence[Mapping[str, Any]]", answer["StackEvents"])
