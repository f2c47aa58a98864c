"""Decide what may be done to a stack, and read its changes, events and outputs. No I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..project.bad_input import BadInput

# The tags of a stack that okibi has made, and of the project that it belongs to.
MANAGED, PROJECT = "okibi:managed", "okibi:project"
# A change set makes such a stack before it makes anything in it.
EMPTY = "REVIEW_IN_PROGRESS"
ACTIONS = {"Add": "+ add", "Modify": "~ modify", "Remove": "- remove", "Import": "+ import"}
REPLACEMENTS = {"True": "REPLACES IT", "Conditional": "may replace it"}
NAMED = ("AWS::Lambda::Function", "AWS::ElastiCache::ServerlessCache")
NOT_REPLACED = (
    "  CloudFormation does not replace a function or a cache, because it has a name: the deployment"
    " would fail; deploy a second stack instead, with another --stack"
)
# CloudFormation's sources of a change that another resource of the stack causes.
REFERENCES = ("ResourceAttribute", "ResourceReference")
NO_CHANGES = ("didn't contain changes", "No updates are to be performed", "no changes")


@attrs.frozen
class Change:
    """A change of one resource.

    Args:
        action: `Add`, `Modify`, `Remove` or another of CloudFormation's.
        resource: the logical id.
        type: the resource's type, such as `AWS::Lambda::Function`.
        replacement: `True`, `False`, `Conditional`, or empty.
        properties: the names of changed properties, never their values.
        is_kept: whether the stack gives the resource up, and the account keeps it.
        follows: the attributes of other resources, such as `Function.Arn`, that are the only causes
            of the change. CloudFormation does not yet know whether they change.
        replaced_if: attributes of other resources that replace this one if they change.
    """

    action: str
    resource: str
    type: str
    replacement: str = ""
    properties: Sequence[str] = ()
    is_kept: bool = False
    follows: Sequence[str] = ()
    replaced_if: Sequence[str] = ()


@attrs.frozen
class StackOutcome:
    """The state of an operation on a stack.

    Args:
        ended: whether the operation has ended.
        good: whether the operation has succeeded.
        status: CloudFormation's status of the stack.
    """

    ended: bool
    good: bool
    status: str


def read_tags(stack: Mapping[str, Any]) -> Mapping[str, str]:
    """Read the tags of a described stack."""
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}


def choose_kind(name: str, stack: Mapping[str, Any] | None, project: str) -> str:
    """Choose the kind of change set: CREATE for a new stack, UPDATE for one of this project's.

    Args:
        name: the name of the stack.
        stack: the stack in the answer of `describe_stacks`; None if there is none.
        project: the project's name.

    Raises:
        BadInput: the stack is another's, is busy, or has failed in a way that needs its user.
    """
    if stack is None or stack["StackStatus"] == EMPTY:
        return "CREATE"
    status, tags = stack["StackStatus"], read_tags(stack)
    if MANAGED not in tags:
        raise BadInput(
            f"stack {name} was not made by okibi (it has no tag {MANAGED}); give --stack another"
            " name"
        )
    owner = tags.get(PROJECT, project)
    if owner != project:
        raise BadInput(
            f"stack {name} belongs to project {owner}, not to {project}; give --stack another name"
        )
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        raise BadInput(
            f"stack {name} is {status} and cannot be changed; remove it first: aws cloudformation"
            f" delete-stack --stack-name {name}"
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        raise BadInput(
            f"stack {name} is {status}; run: aws cloudformation continue-update-rollback"
            f" --stack-name {name}"
        )
    if status.endswith("_IN_PROGRESS"):
        raise BadInput(f"stack {name} is busy ({status}); wait until that has ended")
    return "UPDATE"


def read_changes(change_set: Mapping[str, Any]) -> list[Change]:
    """Read the changes of a described change set."""
    return [
        _read_change(entry["ResourceChange"])
        for entry in change_set.get("Changes", ())
        if entry.get("ResourceChange")
    ]


def _read_change(told: Mapping[str, Any]) -> Change:
    details: Sequence[Mapping[str, Any]] = told.get("Details", ())
    targets: list[Mapping[str, str]] = [detail.get("Target") or {} for detail in details]
    names = {target.get("Name") or target.get("Attribute", "") for target in targets}
    causes = [str(d.get("CausingEntity", "")) if _is_reference(d) else "" for d in details]
    is_open = all(detail.get("Evaluation") == "Dynamic" for detail in details)
    return Change(
        told.get("Action", ""),
        told.get("LogicalResourceId", ""),
        told.get("ResourceType", ""),
        told.get("Replacement", ""),
        tuple(sorted(names - {""})),
        told.get("PolicyAction", "").startswith("Retain"),
        follows=tuple(sorted({*causes})) if is_open and all(causes) else (),
        replaced_if=tuple(
            sorted(
                {
                    cause
                    for cause, target in zip(causes, targets, strict=True)
                    if cause and target.get("RequiresRecreation") != "Never"
                }
            )
        ),
    )


def _is_reference(detail: Mapping[str, Any]) -> bool:
    """Whether another resource of the stack is the cause of a change."""
    return detail.get("ChangeSource") in REFERENCES


def has_no_changes(change_set: Mapping[str, Any]) -> bool:
    """Whether CloudFormation has found nothing to change."""
    reason = change_set.get("StatusReason") or ""
    return change_set["Status"] == "FAILED" and any(text in reason for text in NO_CHANGES)


def format_changes(changes: Sequence[Change]) -> list[str]:
    """Write one line for each change: action, resource, type, replacement, properties.

    Resources that only follow one that is changed in place have one line together.

    >>> format_changes([Change("Modify", "Function", "AWS::Lambda::Function", "False", ["Code"])])
    ['  ~ modify  Function  AWS::Lambda::Function  (Code)']
    """
    followers = _find_followers(changes)
    shown = [change for change in changes if change.resource not in followers]
    rows = [
        (ACTIONS.get(change.action, change.action), change.resource, change.type)
        for change in shown
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    lines = list[str]()
    for change, row in zip(shown, rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if change.action == "Modify":
            cells.append(_describe_replacement(change))
            cells.append(f"({', '.join(change.properties)})" if change.properties else "")
        if change.is_kept and change.action == "Remove":
            cells.append("(the account keeps it)")
        lines.append("  " + "  ".join(filter(None, cells)).rstrip())
    by_cause = dict[str, list[str]]()
    for change in changes:
        if change.resource in followers:
            by_cause.setdefault(" or ".join(change.follows), []).append(change.resource)
    lines += [f"  only if {cause} changes: {', '.join(all_)}" for cause, all_ in by_cause.items()]
    if any(change.type in NAMED and change.replacement == "True" for change in changes):
        lines.append(NOT_REPLACED)
    return lines


def _find_followers(changes: Sequence[Change]) -> set[str]:
    """Find the resources that only follow others, of which none is replaced."""
    in_place = {
        change.resource
        for change in changes
        if change.action == "Modify" and change.replacement == "False"
    }
    followers = set[str]()
    while True:
        more = {
            change.resource
            for change in changes
            if change.action == "Modify"
            and change.follows
            and {cause.partition(".")[0] for cause in change.follows} <= in_place
        }
        if more <= followers:
            return followers
        followers |= more
        in_place |= more


def _describe_replacement(change: Change) -> str:
    """Describe whether CloudFormation replaces a resource, with its reason."""
    if change.replacement == "Conditional" and change.replaced_if:
        return f"may replace it (if {' or '.join(change.replaced_if)} changes)"
    return REPLACEMENTS.get(change.replacement, "")


def read_outcome(stack: Mapping[str, Any]) -> StackOutcome:
    """Read whether an operation on a stack has ended, and how."""
    status = str(stack["StackStatus"])
    ended = not status.endswith("_IN_PROGRESS")
    return StackOutcome(ended, status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), status)


def list_reasons(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the failures among a stack's events, oldest first.

    Args:
        events: CloudFormation's events of the stack, newest first.
    """
    failed = [event for event in events if str(event.get("ResourceStatus")).endswith("_FAILED")]
    return [
        f"{event['LogicalResourceId']} ({event.get('ResourceType', '')}):"
        f" {event.get('ResourceStatusReason') or event['ResourceStatus']}"
        for event in reversed(failed)
    ]


def list_outputs(stack: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the outputs of a described stack."""
    return [(each["OutputKey"], each["OutputValue"]) for each in stack.get("Outputs", ())]
