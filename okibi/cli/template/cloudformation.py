"""Build a CloudFormation template from the settings of a function."""

from ..project_settings import ProjectFunction
from .alarms import build_alarms, list_rollback_alarms
from .dynamodb_table import build_table
from .function_url import build_function_url
from .gradual_deployment import build_gradual_deployment, build_update_policy
from .http_api import API_URL, build_http_api
from .intrinsics import ALIAS, FUNCTION, Resource, Resources, get_att, get_output, ref
from .lambda_function import CODE_PARAMETERS, build_function, build_log_group, find_alias
from .network import build_capacity_provider, build_network
from .role import build_role
from .schedule import build_schedule
from .sqs_queue import build_queue_mapping, build_queues

__all__ = ["build_shared_outputs", "build_template"]


def build_template(function: ProjectFunction, code_hash: str = "") -> Resource:
    """Build a CloudFormation template.

    Args:
        function: the function.
        code_hash: of its package; with an alias, another hash publishes another version.
    """
    resources: Resources = {
        **build_function(function, code_hash),
        **build_role(function),
        **build_log_group(function),
        **build_function_url(function),
        **build_http_api(function),
        **build_queues(function),
        **build_queue_mapping(function),
        **build_schedule(function),
        **build_table(function),
        **build_network(function),
        **build_capacity_provider(function),
        **build_alarms(function),
        **build_gradual_deployment(function, list_rollback_alarms(function)),
    }
    if ALIAS in resources:
        resources[ALIAS] |= build_update_policy(function)
    outputs = build_shared_outputs(function)
    if function.routes:
        outputs["ApiUrl"] = get_output("The HTTP API.", API_URL)
    if find_alias(function):
        outputs["FunctionAlias"] = get_output("The alias that triggers invoke.", ref(ALIAS))
    template: Resource = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{function.handler} on okibi",
    }
    if not function.runtime.image:
        template["Parameters"] = CODE_PARAMETERS
    return {**template, "Resources": resources, "Outputs": outputs}


def build_shared_outputs(function: ProjectFunction) -> Resources:
    """Build the outputs that CloudFormation and SAM templates have in common."""
    outputs: Resources = {
        "FunctionName": get_output("The function.", ref(FUNCTION)),
        "LogGroup": get_output("Where the function logs.", ref("LogGroup")),
    }
    if function.url:
        address = get_att("FunctionUrl", "FunctionUrl")
        outputs["Url"] = get_output("The function URL.", address)
    if function.queue:
        outputs["QueueUrl"] = get_output("The queue.", ref("Queue"))
        outputs["DeadLetterQueueUrl"] = get_output(
            "Messages that failed too often.", ref("DeadLetterQueue")
        )
    if function.table:
        outputs["TableName"] = get_output("The table.", ref("Table"))
    return outputs
