"""Functions and triggers of SAM and CloudFormation templates."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from okibi.cli.write_template import write_template
from okibi.deployment.template.sam import build_template
from okibi.dev.dev_function import Cors, DevFunction, FunctionUrl, Route, Schedule
from okibi.dev.project_functions import make_dev_function
from okibi.dev.scheduler import scheduled_event
from okibi.dev.templates import values
from okibi.dev.templates.functions import from_template
from okibi.dev.templates.template_file import parse_document
from okibi.project.bad_input import BadInput
from tests.deployment.template.features import FUNCTIONS, NEWER_THAN_THE_TOOLS

SERVED = {**FUNCTIONS, **NEWER_THAN_THE_TOOLS}
SERVED.pop("image")


def read(
    folder: Path, text: str, asked: str | None = None
) -> tuple[dict[str, DevFunction], dict[str, str]]:
    """Read a template beside an app.py: functions by name, reasons by resource."""
    (folder / "app.py").touch()
    (folder / "template.yaml").write_text(text)
    path = folder / "template.yaml"
    unpacked = folder / "unpacked"
    functions, left_out = from_template(path, {}, asked, "visits", "us-east-1", unpacked)
    return (
        {function.name: function for function in functions},
        {each.resource: each.reason for each in left_out if "Runtime" not in each.resource},
    )


def function(**properties: object) -> str:
    """A SAM template with one function, as JSON."""
    own = {"Handler": "app.handler", "Runtime": "python3.13", "CodeUri": ".", **properties}
    return json.dumps(
        {"Resources": {"Visits": {"Type": "AWS::Serverless::Function", "Properties": own}}}
    )


# -- what okibi template writes


@pytest.mark.parametrize("feature", SERVED)
def test_what_okibi_template_writes_is_served_as_from_pyproject(
    feature: str, tmp_path: Path
) -> None:
    project = SERVED[feature]
    functions, _ = read(tmp_path, write_template(build_template(project), as_json=False))

    found, expected = functions["visits"], make_dev_function(project, tmp_path)
    variables = dict(found.settings.environment)
    assert variables.pop("TABLE_NAME", None) == ("Table" if project.table else None)
    assert variables == project.environment
    for name in ("handler", "task_root", "timeout", "memory", "max_concurrency", "snap_start"):
        assert getattr(found.settings, name) == getattr(expected.settings, name)
    assert {*found.routes} == {*expected.routes}
    assert found.schedules == expected.schedules
    assert found.url == expected.url
    assert found.architecture == expected.architecture
    assert found.runtime == expected.runtime


# -- SAM


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.13
    Timeout: 20
    CodeUri: src/
    Environment: {Variables: {LEVEL: info, TABLE: !Ref Table}}
  HttpApi:
    CorsConfiguration: {AllowOrigins: ["https://a.example"], AllowMethods: [GET], MaxAge: 60}
  Api: {Cors: "'*'"}
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Bucket: {Type: AWS::S3::Bucket}
  Visits:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Environment: {Variables: {LEVEL: debug, KEY: !ImportValue key}}
      Layers: ["arn:aws:lambda:eu-central-1:123456789012:layer:tools:3"]
      ReservedConcurrentExecutions: 2
      EventInvokeConfig: {MaximumRetryAttempts: 1, MaximumEventAgeInSeconds: 60}
      FunctionUrlConfig: {AuthType: NONE, InvokeMode: RESPONSE_STREAM}
      Events:
        Read: {Type: HttpApi, Properties: {Path: "/visits/{name}", Method: get}}
        All: {Type: HttpApi, Properties: {PayloadFormatVersion: "1.0"}}
        Old: {Type: Api, Properties: {Path: /old, Method: any, Auth: {Authorizer: Mine}}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute), Input: '{"a": 1}'}}
        Off: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour), State: DISABLED}}
        Orders: {Type: SQS, Properties: {Queue: arn}}
  Pictures:
    Type: AWS::Serverless::Function
    Properties: {PackageType: Image}
  Site:
    Type: AWS::Serverless::Function
    Properties: {Runtime: nodejs22.x, Handler: index.handler}
"""


def test_a_sam_function_has_its_settings_and_those_of_globals(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()

    functions, _ = read(tmp_path, TEMPLATE)

    assert {*functions} == {"Visits"}
    found = functions["Visits"]
    assert found.settings.task_root == (tmp_path / "src").resolve()
    assert found.settings.timeout == 20
    assert found.settings.environment == {"LEVEL": "debug", "TABLE": "Table"}
    assert (found.reserved_concurrency, found.maximum_retry_attempts) == (2, 1)
    assert found.maximum_event_age == 60
    assert found.url == FunctionUrl(streaming=True)
    cors = Cors(["https://a.example"], ["GET"], max_age=60)
    assert found.routes == (
        Route("GET", "/visits/{name}", "http-api", cors),
        Route("ANY", "$default", "http-api", cors, payload_format="1.0"),
        Route("ANY", "/old", "rest-api", Cors(["*"], ["*"])),
    )
    assert found.schedules == (Schedule("rate(1 minute)", input='{"a": 1}'),)


def test_everything_that_is_not_done_is_listed(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()

    _, left_out = read(tmp_path, TEMPLATE)

    source = "nothing polls or sends here; try okibi event, or okibi invoke --sample"
    assert left_out == {
        "Visits.Layers": "tools is not added; install its packages where okibi runs",
        "Visits.Environment.KEY": "Fn::ImportValue is known on AWS only; --env-file can set it",
        "Visits.Old.Auth": "every caller is let in",
        "Visits.Off": "the schedule is disabled",
        "Visits.Orders": f"SQS: {source}",
        "Pictures": "a container image; okibi dev serves folders of Python code",
        "Site": "Runtime nodejs22.x; only Python is served",
        "Table": "AWS::DynamoDB::Table is not made; functions get the name 'Table'",
        "Bucket": "not made on this machine",
    }


def test_an_unknown_property_is_listed(tmp_path: Path) -> None:
    _, left_out = read(tmp_path, function(DurableConfig={"ExecutionTimeout": 1}))

    assert left_out == {"Visits.DurableConfig": "not emulated"}


def test_code_in_one_file_is_served_from_its_folder(tmp_path: Path) -> None:
    functions, left_out = read(tmp_path, function(CodeUri="app.py"))

    assert functions["Visits"].settings.task_root == tmp_path.resolve()
    assert left_out == {}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("AWS::Serverless::Function", {"InlineCode": {"Fn::Sub": "A = '${AWS::Region}'\n"}}),
        (
            "AWS::Lambda::Function",
            {"Code": {"ZipFile": {"Fn::Join": ["\n", ["A = 'us-east-1'", ""]]}}},
        ),
    ],
)
def test_inline_code_is_served_from_a_private_folder(
    kind: str, code: dict[str, Any], tmp_path: Path
) -> None:
    template = json.loads(function(Handler="index.handler", **code))
    template["Resources"]["Visits"]["Type"] = kind

    functions, left_out = read(tmp_path, json.dumps(template))

    folder = functions["Visits"].settings.task_root
    assert folder.is_relative_to(tmp_path / "unpacked")
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "index.py").read_text() == "A = 'us-east-1'\n"
    # CloudFormation adds the module of custom resources to inline code.
    assert (folder / "cfnresponse.py").is_file()
    assert left_out == {}


def test_a_local_zip_is_unpacked_unless_its_code_lies_beside_the_template(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "built.zip", "w") as archive:
        program = zipfile.ZipInfo("bin/program")
        program.external_attr = 0o100755 << 16
        archive.writestr(program, "#!/bin/sh\n")
        archive.writestr("built.py", "")
    uri = "built.zip"

    unpacked, left_out = read(tmp_path, function(CodeUri=uri, Handler="built.handler"))
    beside, noted = read(tmp_path, function(CodeUri=uri))

    folder = unpacked["Visits"].settings.task_root
    assert folder.is_relative_to(tmp_path / "unpacked")
    assert os.access(folder / "bin" / "program", os.X_OK)
    assert left_out == {
        "Visits.CodeUri": "unpacked once; start okibi dev again for a new built.zip"
    }
    assert beside["Visits"].settings.task_root == tmp_path
    assert noted == {"Visits.CodeUri": "served from the template's folder, not from the package"}


def test_a_name_too_long_with_the_name_of_the_stack_is_not_used(tmp_path: Path) -> None:
    name = f"visits-{'x' * 60}"

    functions, left_out = read(tmp_path, function(FunctionName={"Fn::Sub": name}))

    assert {*functions} == {"Visits"}
    assert left_out == {"Visits.FunctionName": f"{name} is too long for a name"}


def test_a_function_whose_condition_is_false_is_listed(tmp_path: Path) -> None:
    template = json.loads(function())
    template["Conditions"] = {"IsLive": {"Fn::Equals": ["test", "live"]}}
    template["Resources"]["Other"] = {**template["Resources"]["Visits"], "Condition": "IsLive"}

    functions, left_out = read(tmp_path, json.dumps(template))

    assert {*functions} == {"Visits"}
    assert left_out == {"Other": "its condition IsLive is false"}


def test_a_property_without_a_value_is_not_listed(tmp_path: Path) -> None:
    nothing = {"Ref": "AWS::NoValue"}

    functions, left_out = read(
        tmp_path,
        function(VpcConfig=nothing, Layers=nothing, Environment={"Variables": {"A": nothing}}),
    )

    assert functions["Visits"].settings.environment == {}
    assert left_out == {}


def test_duplicate_keys_and_what_aws_expands_are_listed(tmp_path: Path) -> None:
    text = """
Resources:
  Visits:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.handler, Runtime: python3.13, Timeout: 3, Timeout: 5}
  Fn::ForEach::Functions: [Name, [A], {}]
"""

    functions, left_out = read(tmp_path, text)

    assert functions["Visits"].settings.timeout == 5
    assert left_out == {
        "Timeout in line 5": "it is there twice; the last one counts, as on AWS",
        "Fn::ForEach::Functions": "expanded on AWS only",
    }


APIS = """
Globals:
  Api: {Auth: {DefaultAuthorizer: Mine}, BinaryMediaTypes: [image~1png]}
Resources:
  Own: {Type: AWS::Serverless::Api, Properties: {StageName: live, Variables: {A: 1}}}
  Visits:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Runtime: python3.13
      Events:
        Read: {Type: Api, Properties: {Path: "/{id}", Method: get, RequestModel: {Model: M}}}
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Runtime: python3.13
      Events:
        Read: {Type: Api, Properties: {Path: "/{key}", Method: get, RestApiId: !Ref Own}}
"""


def test_what_an_api_of_sam_does_besides_its_routes_is_listed(tmp_path: Path) -> None:
    functions, left_out = read(tmp_path, APIS)

    assert functions["Visits"].routes == (
        Route("GET", "/{id}", "rest-api", binary_media_types=["image/png"]),
    )
    assert functions["Orders"].routes == ()
    assert left_out == {
        "Globals.Api.Auth": "every caller is let in",
        "Own.Variables": "events have no stage variables",
        "Visits.Read.RequestModel": "requests are not validated",
        "Orders GET /{key}": "Visits has that route already",
    }
    (route,) = read(tmp_path, APIS, "Orders")[0]["Orders"].routes
    assert route.stage == "live"


def test_a_trigger_with_an_unknown_value_is_listed(tmp_path: Path) -> None:
    unknown = {"Ref": "Unknown"}
    events = {
        "Read": {"Type": "Api", "Properties": {"Path": unknown, "Method": "get"}},
        "Write": {"Type": "Api", "Properties": {"Path": "/", "Method": unknown}},
        "All": {"Type": "HttpApi", "Properties": {"Path": "/all", "Method": "*"}},
        "End": {"Type": "Api", "Properties": {"Path": "/end/", "Method": "put"}},
        "Tick": {"Type": "Schedule", "Properties": {"Schedule": unknown}},
    }

    functions, left_out = read(tmp_path, function(Events=events))

    assert functions["Visits"].routes == (
        Route("ANY", "/all"),
        Route("PUT", "/end", "rest-api"),
    )
    assert functions["Visits"].schedules == ()
    assert {*left_out} == {"Visits.Read.Path", "Visits.Write.Method", "Visits.Tick.Schedule"}


def test_parameters_of_samconfig_are_listed(tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text(
        '[default.deploy.parameters]\nparameter_overrides = "A=1"'
    )

    _, left_out = read(tmp_path, function())

    assert left_out == {"samconfig.toml": "not read; give its parameter_overrides by --parameter"}


def test_layers_of_the_template_are_on_the_path_of_python(tmp_path: Path) -> None:
    (tmp_path / "tools" / "python").mkdir(parents=True)
    (tmp_path / "tools" / "python" / "tools.py").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "more.py").touch()
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "requirements.txt").touch()
    names = ("tools", "more", "built")
    template = json.loads(function(Layers=[{"Ref": name} for name in names]))
    for name in names:
        layer = {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": f"{name}/"}}
        template["Resources"][name] = layer

    functions, left_out = read(tmp_path, json.dumps(template))

    path = f"{tmp_path.resolve() / 'more'}{os.pathsep}{tmp_path.resolve() / 'tools' / 'python'}"
    assert functions["Visits"].settings.environment == {"PYTHONPATH": path}
    assert left_out == {
        "Visits.Layers": "built is not added; install its packages where okibi runs"
    }


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"Timeout": "soon"}, "Visits.Timeout = 'soon': must be an integer"),
        ({"MemorySize": 1}, "Visits: memory must be an integer from 128"),
        ({"FunctionName": "a b"}, "Visits: name must be"),
        ({"Handler": "./app.handler"}, "Visits.Handler: handler './app.handler' starts with no"),
        ({"Events": {"A": {"Type": "Schedule"}}}, "Visits.A: expression must be as in"),
        (
            {"Events": {"A": {"Type": "Api", "Properties": {"Path": "a", "Method": "get"}}}},
            "Visits.A: path must begin with '/'",
        ),
        ({"Description": ["a"]}, "Visits.Description: must be a text, got"),
        ({"Environment": {"KEY": "1"}}, "Visits.Environment: has no Variables"),
        (
            {"Environment": {"Variables": ["KEY"]}},
            "Visits.Environment.Variables: must be a mapping",
        ),
        ({"Events": [{"Type": "Api"}]}, "Visits.Events: must be a mapping"),
        ({"InlineCode": {"Fn::ImportValue": "code"}}, "can serve .*its code is known on AWS only"),
        (
            {"CodeUri": "broken.zip", "Handler": "built.f"},
            r"can serve .*broken\.zip: File is not a zip file",
        ),
        ({"Handler": {"Ref": "A"}}, "Visits.Handler: A is neither a parameter nor a resource"),
        ({"CodeUri": "gone"}, "no function that okibi dev can serve .*there is no folder gone"),
        (
            {"Runtime": "provided.al2023", "Handler": "bootstrap"},
            r"no function that okibi dev can serve .*Runtime provided\.al2023; only Python",
        ),
        ({"Runtime": "java21"}, "no function that okibi dev can serve .*Runtime java21"),
    ],
)
def test_a_wrong_template_names_resource_and_property(
    properties: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.zip").write_text("no zip")
    with pytest.raises(BadInput, match=reason):
        read(tmp_path, function(**properties))


def test_one_function_of_a_template_is_chosen_by_logical_id_or_name(tmp_path: Path) -> None:
    text = function(FunctionName="shop-visits")

    assert {*read(tmp_path, text, "Visits")[0]} == {"shop-visits"}
    assert {*read(tmp_path, text, "shop-visits")[0]} == {"shop-visits"}
    with pytest.raises(BadInput, match="no function 'orders'; it has shop-visits"):
        read(tmp_path, text, "orders")


# -- CloudFormation, as the CDK writes it


CDK = """
Resources:
  Visits:
    Type: AWS::Lambda::Function
    Properties:
      Handler: app.handler
      Runtime: python3.13
      Code: {S3Bucket: b, S3Key: k}
      CapacityProviderConfig:
        LambdaManagedInstancesCapacityProviderConfig: {PerExecutionEnvironmentMaxConcurrency: 8}
    Metadata: {"aws:asset:path": asset.1, "aws:asset:property": Code}
  Url:
    Type: AWS::Lambda::Url
    Properties: {AuthType: NONE, TargetFunctionArn: !GetAtt Visits.Arn, Cors: {AllowOrigins: ["*"]}}
  Retries:
    Type: AWS::Lambda::EventInvokeConfig
    Properties: {FunctionName: !Ref Visits, Qualifier: $LATEST, MaximumRetryAttempts: 0}
  Rule:
    Type: AWS::Events::Rule
    Properties: {ScheduleExpression: rate(1 day), Targets: [{Arn: !GetAtt Visits.Arn, Id: a}]}
  Nightly:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: cron(0 3 * * ? *)
      ScheduleExpressionTimezone: Europe/Berlin
      Target: {Arn: !GetAtt Visits.Arn, Input: '{"job": 1}'}
  Rest: {Type: AWS::ApiGateway::RestApi}
  Items: {Type: AWS::ApiGateway::Resource,
    Properties: {ParentId: !GetAtt Rest.RootResourceId, PathPart: items, RestApiId: !Ref Rest}}
  Item: {Type: AWS::ApiGateway::Resource,
    Properties: {ParentId: !Ref Items, PathPart: "{id}", RestApiId: !Ref Rest}}
  GetItem:
    Type: AWS::ApiGateway::Method
    Properties:
      HttpMethod: GET
      ResourceId: !Ref Item
      AuthorizationType: AWS_IAM
      Integration:
        Type: AWS_PROXY
        Uri: !Join ["", ["arn:aws:apigateway:x:lambda:path/functions/", !GetAtt Visits.Arn, /inv]]
  Mapping: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: !Ref Visits}}
  Nested: {Type: AWS::CloudFormation::Stack}
"""


APIS_OF_CLOUDFORMATION = """
Resources:
  Visits: {Type: AWS::Serverless::Function, Properties: {Handler: app.f, Runtime: python3.13}}
  Chat: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET}}
  Connect: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Chat, RouteKey: $connect}}
  Http: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  Get:
    Type: AWS::ApiGatewayV2::Route
    Properties: {ApiId: !Ref Http, RouteKey: GET /a, Target: !Sub "integrations/${Old}"}
  Old:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {IntegrationUri: !GetAtt Visits.Arn, PayloadFormatVersion: "1.0"}
  Rest: {Type: AWS::ApiGateway::RestApi, Properties: {BinaryMediaTypes: ["*/*"]}}
  Stage: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Rest, StageName: live}}
  Any:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Rest
      HttpMethod: ANY
      ResourceId: !GetAtt Rest.RootResourceId
      Integration: {Type: AWS_PROXY, Uri: !GetAtt Visits.Arn}
  Put:
    Type: AWS::ApiGateway::Method
    Properties:
      HttpMethod: PUT
      ResourceId: !GetAtt Rest.RootResourceId
      Integration: {Type: AWS, Uri: !GetAtt Visits.Arn}
  Options:
    Type: AWS::ApiGateway::Method
    Properties:
      HttpMethod: OPTIONS
      ResourceId: !GetAtt Rest.RootResourceId
      Integration:
        Type: MOCK
        IntegrationResponses:
          - StatusCode: 204
            ResponseParameters:
              method.response.header.Access-Control-Allow-Origin: "'https://a.example'"
              method.response.header.Access-Control-Allow-Methods: "'GET,PUT'"
              method.response.header.Access-Control-Allow-Headers: "'Content-Type,X-Key'"
              method.response.header.Access-Control-Allow-Credentials: "'true'"
              method.response.header.Access-Control-Max-Age: "'60'"
"""


def test_integrations_of_apis_are_served_or_listed(tmp_path: Path) -> None:
    functions, left_out = read(tmp_path, APIS_OF_CLOUDFORMATION)

    cors = Cors(
        ["https://a.example"], ["GET", "PUT"], ["Content-Type", "X-Key"],
        allow_credentials=True, max_age=60,
    )  # fmt: skip
    assert functions["Visits"].routes == (
        Route("GET", "/a", "http-api", payload_format="1.0"),
        Route("ANY", "/", "rest-api", cors, ["*/*"], "live"),
    )
    assert left_out == {
        "Chat": "a WebSocket API; try okibi event websocket-message",
        "Put": "integration AWS; only AWS_PROXY is served",
    }


OPEN_API = """
openapi: "3.0.1"
x-amazon-apigateway-binary-media-types: [image/png]
paths:
  /visits/{id}:
    parameters: []
    get: &get
      x-amazon-apigateway-integration:
        {type: aws_proxy, httpMethod: POST, uri: !Sub "arn:x:functions/${Visits.Arn}/invocations"}
    options:
      x-amazon-apigateway-integration:
        type: mock
        responses: {default: {responseParameters: {
          method.response.header.Access-Control-Allow-Origin: "'*'"}}}
  /{proxy+}: {x-amazon-apigateway-any-method: {<<: *get, security: [{Mine: []}]}}
  /queue:
    post: {x-amazon-apigateway-integration: {type: aws, uri: "arn:x:sqs:path/1/orders"}}
"""
INCLUDE = {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "api.yaml"}}}


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::Serverless::Api", {"DefinitionBody": INCLUDE}),
        ("AWS::Serverless::Api", {"DefinitionUri": "./api.yaml"}),
        ("AWS::ApiGateway::RestApi", {"Body": parse_document(OPEN_API)[0]}),
    ],
)
def test_routes_of_an_open_api_definition_are_served(
    kind: str, properties: object, tmp_path: Path
) -> None:
    (tmp_path / "api.yaml").write_text(OPEN_API)
    template = json.loads(function())
    template["Resources"]["Api"] = {"Type": kind, "Properties": properties}

    functions, left_out = read(tmp_path, json.dumps(template))

    assert functions["Visits"].routes == (
        Route("GET", "/visits/{id}", "rest-api", Cors(["*"], ["*"]), ["image/png"]),
        Route("ANY", "/{proxy+}", "rest-api", None, ["image/png"]),
    )
    assert [*left_out.values()] == [
        "every caller is let in",
        "integration aws; only aws_proxy is served",
    ]


def test_an_open_api_definition_names_the_payload_format(tmp_path: Path) -> None:
    template = json.loads(function())
    body = OPEN_API.replace("httpMethod: POST", 'payloadFormatVersion: "1.0"')
    properties = {"DefinitionBody": parse_document(body)[0]}
    template["Resources"]["Api"] = {"Type": "AWS::Serverless::HttpApi", "Properties": properties}

    functions, _ = read(tmp_path, json.dumps(template))

    assert {route.payload_format for route in functions["Visits"].routes} == {"1.0"}


def test_an_open_api_definition_in_a_bucket_is_listed(tmp_path: Path) -> None:
    template = json.loads(function())
    uri = {"DefinitionUri": "s3://bucket/api.yaml"}
    template["Resources"]["Api"] = {"Type": "AWS::Serverless::HttpApi", "Properties": uri}

    _, left_out = read(tmp_path, json.dumps(template))

    assert left_out == {"Api.DefinitionUri": "there is no file s3://bucket/api.yaml"}


def test_an_included_file_without_end_is_refused(tmp_path: Path) -> None:
    template = json.loads(function())
    uri = {"DefinitionUri": "/dev/zero"}
    template["Resources"]["Api"] = {"Type": "AWS::Serverless::HttpApi", "Properties": uri}

    with pytest.raises(BadInput, match=r"Api.DefinitionUri: /dev/zero: is a pipe or a device"):
        read(tmp_path, json.dumps(template))


def test_names_that_grow_with_each_reference_end_with_the_template_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "MAX_STEPS", 20_000)
    buckets = {
        f"B{number}": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": {"Fn::Sub": f"${{B{number + 1}}}" * 2}},
        }
        for number in range(20)
    }
    template = json.loads(function(Environment={"Variables": {"NAME": {"Ref": "B0"}}}))
    template["Resources"] |= {**buckets, "B20": {"Type": "AWS::S3::Bucket"}}

    with pytest.raises(BadInput, match=r"^--template .*template.yaml: resolving its values takes"):
        read(tmp_path, json.dumps(template))


def test_a_template_of_the_cdk_is_served(tmp_path: Path) -> None:
    (tmp_path / "asset.1").mkdir()

    functions, left_out = read(tmp_path, CDK)

    found = functions["Visits"]
    assert found.settings.task_root == (tmp_path / "asset.1").resolve()
    assert found.settings.max_concurrency == 8
    assert found.url == FunctionUrl(cors=Cors(["*"]))
    assert found.maximum_retry_attempts == 0
    assert found.routes == (Route("GET", "/items/{id}", "rest-api"),)
    assert found.schedules == (
        # A rule without an input sends an event of its own.
        Schedule("rate(1 day)", input=scheduled_event("Rule")),
        Schedule("cron(0 3 * * ? *)", "Europe/Berlin", '{"job": 1}'),
    )
    assert left_out == {
        "GetItem.AuthorizationType": "every caller is let in",
        "Mapping": "nothing polls or sends here; try okibi event, or okibi invoke --sample",
        "Nested": "a nested stack; serve its own template",
    }


LOAD_BALANCER = """
Parameters: {Path: {Type: String, Default: /api/*}}
Resources:
  Visits: {Type: AWS::Lambda::Function, Properties: {Handler: app.f, Runtime: python3.13, Code: .}}
  Site: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer}
  Group:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      TargetType: lambda
      Targets: [{Id: !GetAtt Visits.Arn}]
      TargetGroupAttributes: [{Key: lambda.multi_value_headers.enabled, Value: "true"}]
  Machines: {Type: AWS::ElasticLoadBalancingV2::TargetGroup, Properties: {TargetType: ip}}
  Http:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties: {DefaultActions: [{Type: forward, TargetGroupArn: !Ref Group}]}
  Api:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      Actions:
        - {Type: authenticate-oidc}
        - {Type: forward, ForwardConfig: {TargetGroups: [{TargetGroupArn: !Ref Group}]}}
      Conditions:
        - {Field: path-pattern, Values: [!Ref Path, "/v1/?"]}
        - {Field: http-request-method, HttpRequestMethodConfig: {Values: [GET, PUT]}}
        - {Field: host-header, HostHeaderConfig: {Values: [api.example]}}
  Query:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      Actions: [{Type: forward, TargetGroupArn: !Ref Group}]
      Conditions: [{Field: query-string, QueryStringConfig: {Values: [{Value: a}]}}]
  Old:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      Actions: [{Type: redirect, RedirectConfig: {StatusCode: HTTP_301}}]
      Conditions: [{Field: path-pattern, PathPatternConfig: {Values: [/old]}}]
  Others:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      Actions: [{Type: forward, TargetGroupArn: !Ref Machines}]
      Conditions: [{Field: path-pattern, PathPatternConfig: {Values: [/machines]}}]
"""


def test_rules_of_a_load_balancer_are_routes_or_listed(tmp_path: Path) -> None:
    functions, left_out = read(tmp_path, LOAD_BALANCER)

    assert functions["Visits"].routes == tuple(
        Route(method, path, "alb", multi_value_headers=True)
        for method, path in [
            ("ANY", "/*"), ("GET", "/api/*"), ("PUT", "/api/*"), ("GET", "/v1/?"), ("PUT", "/v1/?"),
        ]
    )  # fmt: skip
    assert left_out == {
        "Api.authenticate-oidc": "every caller is let in",
        "Api.host-header": "every host is served",
        "Query.query-string": "no condition that is served; the rule is left out",
        "Old.redirect": "only forward to a function is served",
        "Others": "it invokes no function that is served",
    }
