"""CloudWatch alarms that suit okibi.

A late event is an answer with `Runtime.DeadlineExceeded`, not the platform's `Task timed out`. A
metric filter counts these answers in the log, so late events and other errors can be told apart.
A function with `OKIBI_METRICS` counts them itself, and what goes wrong in its tree.
"""

from ...project.settings import ProjectFunction
from .dead_letters import list_dead_letter_queues
from .intrinsics import FUNCTION, Resource, Resources, get_att, ref, sub

# By log format: okibi's own line, and not Lambda's report of the same invocation.
DEADLINE_PATTERNS = {
    "text": '"[ERROR] Runtime.DeadlineExceeded"',
    "json": '{ $.errorType = "Runtime.DeadlineExceeded" }',
}
NAMESPACE = "okibi"
# The variable with the namespace of the function's own metrics.
METRICS = "OKIBI_METRICS"
# Of an alarm, and of AWS's metrics that a new version changes.
FIVE_MINUTES = 300
DIMENSION = "FunctionName"


def build_alarms(function: ProjectFunction) -> Resources:
    """Build the alarms, a metric filter if one is needed, and the topic of an e-mail address."""
    alarms = function.alarms
    if alarms is None:
        return {}
    resources: Resources = {}
    actions: list[object] = [alarms.topic] if alarms.topic else []
    if alarms.email:
        resources["AlarmTopic"] = {
            "Type": "AWS::SNS::Topic",
            "Properties": {"Subscription": [{"Protocol": "email", "Endpoint": alarms.email}]},
        }
        actions.append(ref("AlarmTopic"))
    of_function: list[Resource] = [{"Name": DIMENSION, "Value": ref(FUNCTION)}]
    if alarms.errors:
        resources["ErrorAlarm"] = _build_alarm(
            "Error responses, late ones included",
            ("AWS/Lambda", "Errors"), of_function, alarms.errors, actions,
        )  # fmt: skip
    own = function.environment.get(METRICS)
    if alarms.deadlines:
        late: tuple[str, object] = (own or NAMESPACE, "LateAnswers")
        if not own:
            resources["DeadlineMetric"] = _build_deadline_metric(function.log_format)
            late = (NAMESPACE, sub("${AWS::StackName}-deadlines"))
        resources["DeadlineAlarm"] = _build_alarm(
            "Events that okibi answered at their deadline",
            late, of_function if own else [], alarms.deadlines, actions,
        )  # fmt: skip
    if own and alarms.restarts:
        resources["RestartAlarm"] = _build_alarm(
            "Restarts of actors",
            (own, "Restarts"), of_function, alarms.restarts, actions,
        )  # fmt: skip
    if own and alarms.give_ups:
        resources["GiveUpAlarm"] = _build_alarm(
            "Actors that keep ending: they wait before each start, or their supervisor has ended",
            (own, "GiveUps"), of_function, alarms.give_ups, actions,
        )  # fmt: skip
    if alarms.throttles:
        resources["ThrottleAlarm"] = _build_alarm(
            "Invocations that Lambda refused because too many were running",
            ("AWS/Lambda", "Throttles"), of_function, alarms.throttles, actions,
        )  # fmt: skip
    for queue in list_dead_letter_queues(function) if alarms.dead_letters else ():
        of_queue: list[Resource] = [{"Name": "QueueName", "Value": get_att(queue, "QueueName")}]
        resources[f"{queue.removesuffix('Queue')}Alarm"] = _build_alarm(
            "Messages in the dead-letter queue",
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible"), of_queue, alarms.dead_letters,
            actions, statistic="Maximum",
        )  # fmt: skip
    return resources


def list_rollback_alarms(function: ProjectFunction) -> list[str]:
    """List the alarms that stop a gradual deployment; not what an old message can ring."""
    alarms = build_alarms(function)
    return [name for name in ("ErrorAlarm", "DeadlineAlarm", "GiveUpAlarm") if name in alarms]


def _build_deadline_metric(log_format: str) -> Resource:
    transformation = {
        "MetricNamespace": NAMESPACE,
        "MetricName": sub("${AWS::StackName}-deadlines"),
        "MetricValue": "1",
        "DefaultValue": 0,
    }
    return {
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {
            "LogGroupName": ref("LogGroup"),
            "FilterPattern": DEADLINE_PATTERNS[log_format],
            "MetricTransformations": [transformation],
        },
    }


def _build_alarm(
    description: str,
    metric: tuple[str, object],
    dimensions: list[Resource],
    threshold: int,
    actions: list[object],
    statistic: str = "Sum",
) -> Resource:
    properties: Resource = {
        "AlarmDescription": description,
        "Namespace": metric[0],
        "MetricName": metric[1],
        "Statistic": statistic,
        "Period": FIVE_MINUTES,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }
    if dimensions:
        properties["Dimensions"] = dimensions
    if actions:
        properties["AlarmActions"] = actions
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}
