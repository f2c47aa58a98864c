"""An HTTP API of API Gateway, which sends each route to the function."""

import hashlib

from ...project.bad_input import BadInput
from ...project.settings import AuthorizerSettings, ProjectFunction
from .intrinsics import STACK, Resource, Resources, arn, ref, sub
from .lambda_function import target_arn

AUTHORIZER = "HttpApiAuthorizer"
API_URL = sub("https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}")


def build_http_api(function: ProjectFunction) -> Resources:
    """Build the API, its integration, a route for each `METHOD /path`, and a stage."""
    if not function.routes:
        return {}
    _check_route_kind(function)
    resources: Resources = {
        "HttpApi": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {"Name": STACK, "ProtocolType": "HTTP"},
        },
        "HttpApiIntegration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": ref("HttpApi"),
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": target_arn(function),
                "PayloadFormatVersion": "2.0",
            },
        },
        "HttpApiStage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {"ApiId": ref("HttpApi"), "StageName": "$default", "AutoDeploy": True},
        },
        "HttpApiPermission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": target_arn(function),
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": arn("execute-api", "${HttpApi}/*"),
            },
        },
    }
    for route in function.routes:
        resources[_route_id(route)] = {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": ref("HttpApi"),
                "RouteKey": route,
                "Target": sub("integrations/${HttpApiIntegration}"),
                **_build_authorization(function, route),
            },
        }
    return {**resources, **_build_authorizer(function.authorizer)}


def is_public(function: ProjectFunction, route: str) -> bool:
    """Whether everyone may call a route. Browsers ask by OPTIONS, without credentials."""
    return function.authorizer is None or route.startswith("OPTIONS ")


def _build_authorization(function: ProjectFunction, route: str) -> Resource:
    if function.authorizer is None or is_public(function, route):
        return {}
    if not function.authorizer.issuer:
        return {"AuthorizationType": "AWS_IAM"}
    return {"AuthorizationType": "JWT", "AuthorizerId": ref(AUTHORIZER)}


def _build_authorizer(authorizer: AuthorizerSettings | None) -> Resources:
    if authorizer is None or not authorizer.issuer:
        return {}
    properties = {
        "ApiId": ref("HttpApi"),
        "Name": "jwt",
        "AuthorizerType": "JWT",
        "IdentitySource": ["$request.header.Authorization"],
        "JwtConfiguration": {"Issuer": authorizer.issuer, "Audience": [*authorizer.audience]},
    }
    return {AUTHORIZER: {"Type": "AWS::ApiGatewayV2::Authorizer", "Properties": properties}}


def _check_route_kind(function: ProjectFunction) -> None:
    """Check that the routes are those of an HTTP API.

    Raises:
        BadInput: the routes are those of a REST API or a load balancer.
    """
    if function.routes and function.route_kind != "http-api":
        raise BadInput(
            f"[tool.okibi.functions.{function.name}] route_kind = {function.route_kind!r}: only"
            " okibi dev serves it; a template has routes of an HTTP API"
        )


def _route_id(route: str) -> str:
    """Make the logical id of a route from its key.

    CloudFormation updates a resource before it removes others. With a number for an id, the route
    after a removed one would change its key to that of a route that still exists.
    """
    return f"HttpApiRoute{hashlib.sha256(route.encode()).hexdigest()[:12]}"
