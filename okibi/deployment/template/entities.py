"""What the entities of a function need: a table, and alarms of EventBridge Scheduler.

The function makes a schedule for an alarm, and invokes itself for mail that waits.
"""

from ...project.settings import KeySettings, ProjectFunction, TableSettings
from .dynamodb_table import make_table
from .intrinsics import Resource, Resources, arn, get_att, make_role, make_statement, ref

TABLE, ALARMS, ALARM_ROLE = "EntityTable", "EntityAlarms", "EntityAlarmRole"

# Lambda's name of a function is that of its stack. A version or an alias has a qualifier.
OWN_ARNS = [
    arn("lambda", "function:${AWS::StackName}"),
    arn("lambda", "function:${AWS::StackName}:*"),
]


def build_entities(function: ProjectFunction) -> Resources:
    """Build the table, a group for the alarms, and the role with which an alarm rings."""
    settings = function.entities
    if settings is None:
        return {}
    table = {} if settings.table else {TABLE: make_table(TableSettings(KeySettings("k")))}
    return {
        **table,
        # With the group, its schedules are removed.
        ALARMS: {"Type": "AWS::Scheduler::ScheduleGroup"},
        ALARM_ROLE: make_role("scheduler", [make_statement(("lambda:InvokeFunction",), OWN_ARNS)]),
    }


def build_entity_variables(function: ProjectFunction) -> Resource:
    """Build the variables that an EntityStore reads."""
    settings = function.entities
    if settings is None:
        return {}
    return {
        "OKIBI_ENTITIES": settings.table or ref(TABLE),
        "OKIBI_ENTITIES_GROUP": ref(ALARMS),
        "OKIBI_ENTITIES_ROLE": get_att(ALARM_ROLE, "Arn"),
    }


def list_entity_statements(function: ProjectFunction) -> list[Resource]:
    """List the rights of a function with entities."""
    settings = function.entities
    if settings is None:
        return []
    table = settings.table
    pass_role = make_statement(("iam:PassRole",), get_att(ALARM_ROLE, "Arn"))
    pass_role["Condition"] = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    return [
        # A transaction of updates needs no other right.
        make_statement(
            ("dynamodb:GetItem", "dynamodb:UpdateItem"),
            arn("dynamodb", f"table/{table}") if table else get_att(TABLE, "Arn"),
        ),
        make_statement(
            ("scheduler:CreateSchedule",), arn("scheduler", f"schedule/${{{ALARMS}}}/*")
        ),
        pass_role,
        make_statement(("lambda:InvokeFunction",), OWN_ARNS),
    ]
