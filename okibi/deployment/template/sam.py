"""Build a template from the settings of a function.

The function, its URL, its versions, its alias and its gradual deployment are in SAM's short form,
which CloudFormation expands. All other resources are CloudFormation's own: SAM would make an HTTP
API of one document, in which `okibi deploy` could not list the changed routes, and which MiniStack
does not read; and the role that SAM makes for a schedule trusts EventBridge Scheduler for every
account.
"""

from ...project.settings import ProjectFunction
from .alarms import build_alarms
from .dead_letters import OF_QUEUE, list_dead_letter_queues
from .dynamodb_table import build_table
from .entities import TABLE, build_entities
from .http_api import API_URL, build_http_api
from .intrinsics import ALIAS, FUNCTION, Resource, Resources, get_att, get_output, ref
from .kafka_mapping import build_kafka_mapping
from .lambda_function import build_function, build_log_group, find_alias
from .network import build_capacity_provider, build_network
from .role import build_role
from .schedule import build_schedule
from .sqs_queue import build_queue_mapping, build_queues
from .stream_mapping import build_stream_mapping

CODE_PARAMETERS: Resources = {
    "CodeBucket": {"Type": "String", "Description": "The S3 bucket with the package."},
    "CodeKey": {"Type": "String", "Description": "The package in the bucket."},
}
CODE_URI = {"Bucket": ref("CodeBucket"), "Key": ref("CodeKey")}


def build_template(function: ProjectFunction, code: object = None) -> Resource:
    """Build a template.

    Args:
        function: the function.
        code: where its package is, as SAM's CodeUri; None for two parameters of the template.
    """
    template: Resource = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": f"{function.handler} on okibi",
    }
    if code is None and not function.runtime.image:
        template["Parameters"] = CODE_PARAMETERS
    template["Resources"] = {
        **build_function(function, code or CODE_URI),
        **build_role(function),
        **build_log_group(function),
        **build_http_api(function),
        **build_queues(function),
        **build_queue_mapping(function),
        **build_stream_mapping(function),
        **build_kafka_mapping(function),
        **build_schedule(function),
        **build_table(function),
        **build_entities(function),
        **build_network(function),
        **build_capacity_provider(function),
        **build_alarms(function),
    }
    template["Outputs"] = _build_outputs(function)
    return template


def _build_outputs(function: ProjectFunction) -> Resources:
    outputs: Resources = {
        "FunctionName": get_output("The function.", ref(FUNCTION)),
        "LogGroup": get_output("Where the function logs.", ref("LogGroup")),
    }
    if function.url:
        address = get_att("FunctionUrl", "FunctionUrl")
        outputs["Url"] = get_output("The function URL.", address)
    if function.routes:
        outputs["ApiUrl"] = get_output("The HTTP API.", API_URL)
    if function.queue:
        outputs["QueueUrl"] = get_output("The queue.", ref("Queue"))
    for queue in list_dead_letter_queues(function):
        what = "Messages" if queue == OF_QUEUE else "Batches"
        outputs[f"{queue}Url"] = get_output(f"{what} that failed too often.", ref(queue))
    if function.table:
        outputs["TableName"] = get_output("The table.", ref("Table"))
    if function.entities and not function.entities.table:
        outputs["EntityTableName"] = get_output("The table of the entities.", ref(TABLE))
    if find_alias(function):
        outputs["FunctionAlias"] = get_output("The alias that triggers invoke.", ref(ALIAS))
    return outputs
