"""Follow a change set to its end, with answers in CloudFormation's order."""

import time
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from okibi.deployment.aws import Aws
from okibi.deployment.change_sets import ChangeSet, create_change_set, execute, remove
from okibi.project.bad_input import BadInput
from tests.support.answering_aws import answering_aws


@attrs.define(eq=False)
class Formation:
    """Answers each operation with the next of its answers; the last one comes again."""

    answers: dict[str, list[Any]]
    called: list[str] = attrs.field(init=False, factory=list[str])
    aws: Aws = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.aws = answering_aws(self.answer)

    def answer(self, operation: str, _parameters: object) -> Mapping[str, Any]:
        self.called.append(operation)
        answers = self.answers.get(operation, [{}])
        answer: Mapping[str, Any] = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def stacks(*statuses: str) -> list[Any]:
    return [{"Stacks": [{"StackStatus": status}]} for status in statuses]


def events(*pages: list[str]) -> list[Any]:
    """Pages of events; each has an id and the status after the colon."""
    return [
        {
            "StackEvents": [
                {"EventId": id_, "LogicalResourceId": "Function", "ResourceStatus": status}
                for id_, status in (each.split(":") for each in page)
            ]
        }
        for page in pages
    ]


def test_the_status_before_the_execution_is_not_its_end() -> None:
    old, begun, done = "1:UPDATE_COMPLETE", "2:UPDATE_IN_PROGRESS", "3:UPDATE_COMPLETE"
    formation = Formation(
        {
            "describe_stacks": stacks(
                "UPDATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"
            ),
            "describe_stack_events": events(
                [old], [old], [old], [begun, old], [done, begun, old]
            ),
        }
    )  # fmt: skip

    outcome = execute(formation.aws, ChangeSet("visits", "c", False, {}), print)

    assert outcome.good
    assert formation.called.count("describe_stacks") == 4


def test_a_failure_is_told_once_and_ends_badly() -> None:
    failed = ["3:ROLLBACK_IN_PROGRESS", "2:CREATE_FAILED", "1:CREATE_IN_PROGRESS"]
    formation = Formation(
        {
            "describe_stacks": stacks("ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"),
            "describe_stack_events": events([], failed),
        }
    )
    told = list[str]()

    outcome = execute(formation.aws, ChangeSet("visits", "c", True, {}), told.append)

    assert (outcome.good, outcome.status) == (False, "ROLLBACK_COMPLETE")
    assert told == ["  failed: Function (): CREATE_FAILED"]


@pytest.mark.parametrize(
    ("before", "removed"),
    [
        ([{"Stacks": []}, *stacks("REVIEW_IN_PROGRESS")], "delete_stack"),
        (stacks("REVIEW_IN_PROGRESS"), "delete_change_set"),
    ],
    ids=["no stack", "an empty stack of another's"],
)
def test_only_the_stack_that_was_made_for_it_goes_with_a_change_set(
    before: list[Any], removed: str
) -> None:
    formation = Formation(
        {
            "describe_stacks": before,
            "describe_change_set": [{"Status": "CREATE_PENDING"}, {"Status": "CREATE_COMPLETE"}],
        }
    )

    made = create_change_set(formation.aws, "visits", "CREATE", {}, tags={})
    remove(formation.aws, made)

    assert formation.called[-1] == removed


def test_a_stack_that_another_deployment_has_filled_is_not_deleted() -> None:
    formation = Formation({"describe_stacks": stacks("CREATE_COMPLETE")})

    remove(formation.aws, ChangeSet("visits", "c", True, {}))

    assert "delete_stack" not in formation.called


def test_a_refused_template_names_the_resources_that_exist_already() -> None:
    reason = "validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]"
    told = "Resource of type 'AWS::Lambda::Function' with identifier 'visits' already exists."
    event = {
        "LogicalResourceId": "Function",
        "ResourceType": "AWS::Lambda::Function",
        "EventType": "VALIDATION_ERROR",
        "ValidationStatusReason": told,
    }
    failed = {"Status": "FAILED", "StatusReason": reason, "ChangeSetId": "arn:aws:..."}
    formation = Formation(
        {
            "describe_stacks": [{"Stacks": []}, *stacks("REVIEW_IN_PROGRESS")],
            "describe_change_set": [failed],
            "describe_events": [{"OperationEvents": [{"EventType": "STACK_EVENT"}, event]}],
        }
    )

    with pytest.raises(BadInput, match=r"Function [(]AWS::Lambda::Function[)]: .* already exists"):
        create_change_set(formation.aws, "visits", "CREATE", {}, tags={})

    assert formation.called[-1] == "delete_stack"


def test_all_pages_of_a_change_set_are_read() -> None:
    pages = [
        {"Status": "CREATE_COMPLETE", "Changes": [{"n": 1}], "NextToken": "more"},
        {"Status": "CREATE_COMPLETE", "Changes": [{"n": 2}]},
    ]
    formation = Formation(
        {"describe_stacks": stacks("CREATE_COMPLETE"), "describe_change_set": [pages[0], *pages]}
    )

    made = create_change_set(formation.aws, "visits", "UPDATE", {}, tags={})

    assert made.content["Changes"] == [{"n": 1}, {"n": 2}]
    assert not made.is_empty
