"""A schedule of EventBridge Scheduler that invokes the function."""

from ...project.settings import ProjectFunction
from .intrinsics import Resources, get_att, make_role, make_statement
from .lambda_function import target_arn


def build_schedule(function: ProjectFunction) -> Resources:
    """Build the schedule, and the role with which it invokes the function."""
    schedule = function.schedule
    if schedule is None:
        return {}
    target = target_arn(function)
    return {
        "Schedule": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                "ScheduleExpression": schedule.expression,
                "ScheduleExpressionTimezone": schedule.timezone,
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {
                    "Arn": target,
                    "RoleArn": get_att("ScheduleRole", "Arn"),
                    "Input": schedule.input,
                },
            },
        },
        "ScheduleRole": make_role(
            "scheduler", [make_statement(("lambda:InvokeFunction",), target)]
        ),
    }
