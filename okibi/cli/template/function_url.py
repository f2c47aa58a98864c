"""The function URL."""

from ..project_settings import ProjectFunction, UrlSettings
from .intrinsics import ALIAS, FUNCTION, Resource, Resources, get_att
from .lambda_function import find_alias, target_arn

__all__ = ["build_cors", "build_function_url", "name_auth", "name_invoke_mode"]


def build_function_url(function: ProjectFunction) -> Resources:
    """Build the URL, and for a public one the permission to call it."""
    url = function.url
    if url is None:
        return {}
    properties: Resource = {
        "TargetFunctionArn": get_att(FUNCTION, "Arn"),
        "AuthType": name_auth(url),
        "InvokeMode": name_invoke_mode(url),
    }
    if url.cors:
        properties["Cors"] = build_cors(url)
    resource: Resource = {"Type": "AWS::Lambda::Url", "Properties": properties}
    if alias := find_alias(function):
        properties["Qualifier"] = alias.name
        resource["DependsOn"] = ALIAS
    resources: Resources = {"FunctionUrl": resource}
    if url.auth == "none":
        # Since October 2025 a public URL needs both.
        resources["FunctionUrlPermission"] = {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunctionUrl",
                "FunctionName": target_arn(function),
                "Principal": "*",
                "FunctionUrlAuthType": "NONE",
            },
        }
        resources["FunctionUrlInvokePermission"] = {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": target_arn(function),
                "Principal": "*",
                "InvokedViaFunctionUrl": True,
            },
        }
    return resources


def name_auth(url: UrlSettings) -> str:
    """The AuthType, as Lambda names it."""
    return url.auth.upper()


def name_invoke_mode(url: UrlSettings) -> str:
    """The InvokeMode, as Lambda names it."""
    return "RESPONSE_STREAM" if url.streaming else "BUFFERED"


def build_cors(url: UrlSettings) -> Resource:
    """Allow browsers to call from some origins, with any method and header."""
    return {"AllowOrigins": [*url.cors], "AllowMethods": ["*"], "AllowHeaders": ["*"]}
