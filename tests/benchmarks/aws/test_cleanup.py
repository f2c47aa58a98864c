"""The resources that `make aws-clean` removes."""

from typing import Any, cast

import pytest

from benchmarks.aws.__main__ import clean, clean_all
from benchmarks.aws.cleanup import CleanupPlan, find_stacks, plan_cleanup
from benchmarks.aws.cloud import Cloud, RunError
from benchmarks.aws.templates import tags

RUN = "okibi-aws-1a2b"


def described(name: str, run: str = RUN, status: str = "CREATE_COMPLETE", **outputs: str) -> Any:
    return {
        "StackName": name,
        "StackStatus": status,
        "Tags": tags(run) if run else [{"Key": "team", "Value": "payments"}],
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }


def test_routes_are_removed_before_the_bucket_and_the_role_they_use() -> None:
    found = find_stacks(
        [described(f"{RUN}-shared", Bucket="bucket-1"), described(f"{RUN}-managed")]
    )

    assert plan_cleanup(found) == CleanupPlan(
        routes=(f"{RUN}-managed",), buckets=("bucket-1",), shared=(f"{RUN}-shared",)
    )


def test_stacks_of_others_are_never_removed() -> None:
    found = find_stacks(
        [
            described("payments", run=""),
            described("okibi-aws-1a2b-managed", run=""),
            # Tagged by hand, or by a copy of the tags.
            described("payments", run=RUN),
        ]
    )

    assert plan_cleanup(found).is_empty


def test_a_failed_or_half_made_stack_is_removed_too() -> None:
    found = find_stacks(
        [
            described(f"{RUN}-{status.lower()}", status=status)
            for status in ("CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_FAILED")
        ]
    )

    assert len(plan_cleanup(found).routes) == 3


def test_a_run_removes_only_its_own_stacks_and_a_cleanup_all() -> None:
    stacks = [described(f"{RUN}-managed"), described("okibi-aws-9f-image", run="okibi-aws-9f")]

    assert [stack.run for stack in find_stacks(stacks, RUN)] == [RUN]
    assert len(find_stacks(stacks)) == 2


def test_a_deleted_stack_is_gone() -> None:
    assert find_stacks([described(f"{RUN}-managed", status="DELETE_COMPLETE")]) == []


def test_a_cleanup_that_cannot_begin_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    class Expired:
        def describe_stacks(self) -> list[Any]:
            raise RunError("cloudformation describe_stacks: ExpiredToken")

    assert not clean(cast("Cloud", Expired()), RUN)

    assert "ExpiredToken" in (said := capsys.readouterr().out)
    assert "make aws-clean" in said


@pytest.mark.parametrize(("answer", "removed"), [("n", 0), ("y", 1)])
def test_stacks_of_all_runs_are_listed_and_removed_after_a_yes(
    answer: str, removed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deleted = list[str]()

    class Account:
        region = "eu-central-1"

        def describe_stacks(self) -> list[Any]:
            return [described(f"{RUN}-managed")]

        def delete_stack(self, name: str) -> None:
            deleted.append(name)

        def wait_until_deleted(self, name: str) -> None:
            assert name in deleted

    monkeypatch.setattr("builtins.input", lambda _question: answer)

    code = clean_all(cast("Cloud", Account()), "123456789012", is_asked=True)

    assert (code, len(deleted)) == (0 if removed else 2, removed)
    assert f"{RUN}-managed  CREATE_COMPLETE" in capsys.readouterr().out
