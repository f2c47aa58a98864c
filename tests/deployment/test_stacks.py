"""The allowed operations on a stack, and the text of its changes and events."""

from typing import Any

import pytest

from okibi.deployment.stacks import (
    MANAGED,
    PROJECT,
    Change,
    choose_kind,
    format_changes,
    has_no_changes,
    list_reasons,
    read_changes,
)
from okibi.project.bad_input import BadInput


def stack(status: str, **tags: str) -> dict[str, Any]:
    return {"StackStatus": status, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}


def own(status: str) -> dict[str, Any]:
    return stack(status, **{MANAGED: "true", PROJECT: "shop"})


@pytest.mark.parametrize("found", [None, stack("REVIEW_IN_PROGRESS")], ids=["none", "empty"])
def test_a_stack_that_is_not_there_is_created(found: dict[str, Any] | None) -> None:
    assert choose_kind("visits", found, "shop") == "CREATE"


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_stack_of_the_project_is_updated(status: str) -> None:
    assert choose_kind("visits", own(status), "shop") == "UPDATE"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (stack("CREATE_COMPLETE"), "stack visits was not made by okibi"),
        (stack("CREATE_COMPLETE", **{MANAGED: "true", PROJECT: "other"}),
         "stack visits belongs to project other, not to shop"),
        (own("UPDATE_IN_PROGRESS"), "stack visits is busy"),
        (own("ROLLBACK_COMPLETE"), "aws cloudformation delete-stack --stack-name visits"),
        (own("UPDATE_ROLLBACK_FAILED"), "continue-update-rollback"),
    ],
)  # fmt: skip
def test_any_other_stack_is_refused_with_the_cure(found: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        choose_kind("visits", found, "shop")


def test_a_change_shows_names_of_properties_and_no_values() -> None:
    detail = {"Target": {"Attribute": "Properties", "Name": "Environment", "AfterValue": "hush"}}
    change_set = {
        "Changes": [
            {"ResourceChange": {
                "Action": "Modify", "LogicalResourceId": "Function",
                "ResourceType": "AWS::Lambda::Function", "Replacement": "Conditional",
                "Details": [detail, detail],
            }},
            {"ResourceChange": {
                "Action": "Remove", "LogicalResourceId": "Table",
                "ResourceType": "AWS::DynamoDB::Table",
            }},
        ]
    }  # fmt: skip

    changes = read_changes(change_set)

    assert changes[1] == Change("Remove", "Table", "AWS::DynamoDB::Table")
    assert format_changes(changes) == [
        "  ~ modify  Function  AWS::Lambda::Function  may replace it  (Environment)",
        "  - remove  Table     AWS::DynamoDB::Table",
    ]


def modify(resource: str, replacement: str, *details: tuple[str, str, str]) -> dict[str, Any]:
    """A changed resource; a detail is a property, whether it replaces, and what has caused it."""
    return {
        "ResourceChange": {
            "Action": "Modify", "LogicalResourceId": resource, "ResourceType": f"T::{resource}",
            "Replacement": replacement,
            "Details": [
                {
                    "Target": {
                        "Attribute": "Properties", "Name": name, "RequiresRecreation": recreation,
                    },
                    **(
                        {"Evaluation": "Dynamic", "ChangeSource": "ResourceAttribute",
                         "CausingEntity": cause}
                        if cause
                        else {"Evaluation": "Static", "ChangeSource": "DirectModification"}
                    ),
                }
                for name, recreation, cause in details
            ],
        }
    }  # fmt: skip


def test_resources_that_only_follow_one_changed_in_place_have_one_line() -> None:
    change_set = {
        "Changes": [
            modify("Function", "False", ("Code", "Never", "")),
            modify("Url", "Conditional", ("TargetFunctionArn", "Always", "Function.Arn")),
            modify("Mapping", "False", ("FunctionName", "Never", "Function.Arn")),
            # It follows one that follows.
            modify("Alarm", "Conditional", ("Name", "Conditionally", "Url.Address")),
        ]
    }

    assert format_changes(read_changes(change_set)) == [
        "  ~ modify  Function  T::Function  (Code)",
        "  only if Function.Arn changes: Url, Mapping",
        "  only if Url.Address changes: Alarm",
    ]


def test_a_resource_that_is_changed_itself_or_follows_a_replaced_one_has_a_line() -> None:
    change_set = {
        "Changes": [
            modify("Function", "True", ("PackageType", "Always", "")),
            modify("Url", "Conditional", ("Target", "Always", "Function.Arn")),
            modify("Role", "False", ("Policies", "Never", "")),
            modify(
                "Alias", "Conditional", ("Name", "Conditionally", ""), ("Role", "Never", "Role.Arn")
            ),
        ]
    }

    assert format_changes(read_changes(change_set)) == [
        "  ~ modify  Function  T::Function  REPLACES IT  (PackageType)",
        "  ~ modify  Url       T::Url       may replace it (if Function.Arn changes)  (Target)",
        "  ~ modify  Role      T::Role      (Policies)",
        "  ~ modify  Alias     T::Alias     may replace it  (Name, Role)",
    ]


def test_a_function_that_cannot_be_replaced_is_told_with_the_way_out() -> None:
    change = Change("Modify", "Function", "AWS::Lambda::Function", "True", ["PackageType"])

    assert format_changes([change])[-1].endswith(
        "deploy a second stack instead, with another --stack"
    )


def test_a_change_set_without_changes_has_failed_for_that_reason() -> None:
    reason = "The submitted information didn't contain changes. Submit different information"

    assert has_no_changes({"Status": "FAILED", "StatusReason": reason})
    assert not has_no_changes({"Status": "FAILED", "StatusReason": "Template error"})


def test_failures_are_listed_oldest_first() -> None:
    events = [
        {"LogicalResourceId": "visits", "ResourceStatus": "CREATE_FAILED",
         "ResourceStatusReason": "The following resource(s) failed to create: [Function]."},
        {"LogicalResourceId": "Role", "ResourceStatus": "CREATE_COMPLETE"},
        {"LogicalResourceId": "Function", "ResourceType": "AWS::Lambda::Function",
         "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "no such bucket"},
    ]  # fmt: skip

    assert list_reasons(events) == [
        "Function (AWS::Lambda::Function): no such bucket",
        "visits (): The following resource(s) failed to create: [Function].",
    ]
