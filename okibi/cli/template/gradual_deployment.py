"""AWS CodeDeploy moves the alias to a new version step by step, and back if an alarm rings."""

from collections.abc import Sequence

from ..project_settings import ProjectFunction
from .intrinsics import Resource, Resources, arn, get_att, make_role, make_statement, ref
from .lambda_function import find_alias

__all__ = ["build_gradual_deployment", "build_update_policy"]


def build_update_policy(function: ProjectFunction) -> Resource:
    """Build the alias's attribute that leaves its updates to CodeDeploy; empty if not gradual."""
    alias = find_alias(function)
    if alias is None or not alias.is_gradual:
        return {}
    return {
        "UpdatePolicy": {
            "CodeDeployLambdaAliasUpdate": {
                "ApplicationName": ref("CodeDeployApplication"),
                "DeploymentGroupName": ref("DeploymentGroup"),
            }
        }
    }


def build_gradual_deployment(function: ProjectFunction, alarms: Sequence[str]) -> Resources:
    """Build CodeDeploy's application, its deployment group and its role.

    Args:
        function: the function.
        alarms: logical ids of the alarms that stop a deployment.
    """
    alias = find_alias(function)
    if alias is None or not alias.is_gradual:
        return {}
    group: Resource = {
        "ApplicationName": ref("CodeDeployApplication"),
        "ServiceRoleArn": get_att("CodeDeployRole", "Arn"),
        "DeploymentConfigName": f"CodeDeployDefault.Lambda{alias.deployment}",
        "DeploymentStyle": {
            "DeploymentType": "BLUE_GREEN",
            "DeploymentOption": "WITH_TRAFFIC_CONTROL",
        },
        "AutoRollbackConfiguration": {
            "Enabled": True,
            "Events": [
                *("DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST")
            ],
        },
    }
    if alarms:
        group["AlarmConfiguration"] = {
            "Enabled": True,
            "Alarms": [{"Name": ref(name)} for name in alarms],
        }
    functions = [
        arn("lambda", "function:${AWS::StackName}"),
        arn("lambda", f"function:${{AWS::StackName}}:{alias.name}"),
    ]
    change = ("lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig")
    return {
        "CodeDeployApplication": {
            "Type": "AWS::CodeDeploy::Application",
            "Properties": {"ComputePlatform": "Lambda"},
        },
        "DeploymentGroup": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
        "CodeDeployRole": make_role(
            "codedeploy",
            [
                make_statement(change, functions),
                make_statement(("cloudwatch:DescribeAlarms",), arn("cloudwatch", "alarm:*")),
            ],
        ),
    }
