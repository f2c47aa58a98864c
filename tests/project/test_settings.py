"""The tables [tool.okibi] of pyproject.toml, read with all their mistakes at once."""

import tomllib
from pathlib import Path

import pytest

from okibi.deployment.template.sam import build_template
from okibi.project.bad_input import BadInput
from okibi.project.reader import parse_project, read_project
from okibi.project.settings import (
    AliasSettings,
    AuthorizerSettings,
    KeySettings,
    ProjectFunction,
    ProjectSettings,
    QueueSettings,
    StreamSettings,
    UrlSettings,
    check_handler,
    choose_function,
)

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
CLUSTER = "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/1a2b-3"
PROVIDER = "arn:aws:lambda:eu-central-1:123456789012:capacity-provider:busy"


def parse(text: str) -> ProjectSettings:
    project, mistakes = parse_project(tomllib.loads(text), "folder")
    assert mistakes == []
    return project


def mistakes_in(body: str) -> list[str]:
    """The mistakes in the table of a function, without the table's name."""
    text = f"[tool.okibi.functions.f]\nhandler = 'app.f'\n{body}"
    return [
        mistake.removeprefix("[tool.okibi.functions.f] ")
        for mistake in parse_project(tomllib.loads(text), "folder")[1]
    ]


def test_a_folder_without_pyproject_is_a_project_without_functions(tmp_path: Path) -> None:
    folder = tmp_path / "my_app"
    folder.mkdir()

    project = read_project(folder)

    assert (project.name, project.functions) == ("my-app", {})


def test_a_handler_needs_no_table() -> None:
    function = choose_function(ProjectSettings("visits"), "app.function")

    assert function == ProjectFunction("visits", "app.function")


def test_a_function_is_found_by_its_name_and_by_its_handler() -> None:
    project = parse("[tool.okibi.functions.f]\nhandler = 'app.f'\nmemory = 256")

    assert choose_function(project, "f").memory == 256
    assert choose_function(project, "app.f").memory == 256
    assert choose_function(project, None).memory == 256


@pytest.mark.parametrize(
    ("asked", "said"),
    [(None, "name one of: f, g"), ("h", "pyproject.toml has f, g")],
)
def test_a_function_that_is_not_there_is_told_with_those_that_are(
    asked: str | None, said: str
) -> None:
    project = parse("[tool.okibi.functions]\nf = {handler = 'app.f'}\ng = {handler = 'app.g'}")

    with pytest.raises(BadInput, match=said):
        choose_function(project, asked)


def test_python_and_architecture_of_the_project_hold_for_its_functions() -> None:
    project = parse(
        "[tool.okibi]\npython = '3.14'\narchitecture = 'arm64'\n"
        "[tool.okibi.functions]\nf = {handler = 'app.f', python = '3.12'}"
    )

    function = project.functions["f"]
    assert (function.python, function.architecture) == ("3.12", "arm64")


def test_a_project_that_names_no_python_has_the_default() -> None:
    project, mistakes = parse_project({}, "folder", "3.12")

    assert (choose_function(project, "app.f").python, mistakes) == ("3.12", [])


def test_true_turns_a_table_on_with_its_defaults() -> None:
    project = parse(
        "[tool.okibi.functions]\nf = {handler = 'app.f', url = true, queue = true, alias = 'live'}"
    )

    function = project.functions["f"]
    assert (function.url, function.queue) == (UrlSettings(), QueueSettings())
    assert function.alias == AliasSettings("live")


def test_an_authorizer_is_iam_or_the_issuer_of_tokens() -> None:
    table = "[tool.okibi.functions.f]\nhandler = 'app.f'\nroutes = ['GET /']\nauthorizer = "
    token = "{issuer = 'https://id.example', audience = 'shop'}"

    iam, jwt = (parse(table + text).functions["f"].authorizer for text in ("'aws_iam'", token))

    assert iam == AuthorizerSettings()
    assert jwt == AuthorizerSettings("https://id.example", ("shop",))


def test_a_stream_is_its_arn_or_a_table() -> None:
    table = "[tool.okibi.functions.f]\nhandler = 'app.f'\nstream = "
    items = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"

    short, long = (
        parse(table + text).functions["f"].stream
        for text in (f"'{STREAM}'", f"{{arn = '{items}', batch_size = 5}}")
    )

    assert short == StreamSettings(STREAM)
    assert long == StreamSettings(items, batch_size=5)


def test_a_table_key_is_a_name_or_a_name_with_its_type() -> None:
    project = parse(
        "[tool.okibi.functions.f]\nhandler = 'app.f'\n"
        "table = {partition_key = 'id', sort_key = {name = 'at', type = 'N'}}"
    )

    table = project.functions["f"].table
    assert table is not None
    assert (table.partition_key, table.sort_key) == (KeySettings("id"), KeySettings("at", "N"))


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ("memmory = 256", "unknown key 'memmory'; did you mean 'memory'?"),
        ("memory = 64", "memory = 64: must be an integer from 128 to 10240 (MB), or to 32768"),
        ("timeout = 1801", "timeout = 1801: must be an integer from 1 to 1800 (seconds), or to"),
        ("timeout = true", "timeout = true: must be an integer from 1 to 1800 (seconds), or to"),
        ("architecture = 'arm46'",
         "architecture = 'arm46': must be 'x86_64' or 'arm64'; did you mean 'arm64'?"),
        ("log_retention = 6", "log_retention = 6: must be one of 1, 3, 5, 7"),
        ("routes = ['/visits']",
         "routes = ['/visits']: must be a list of routes, as in 'GET /visits/{name}'"),
        ("routes = ['GET /visits', 'get /old']", "routes = ['get /old']: must be a list of routes"),
        ("schedule = '5 minutes'",
         "schedule = '5 minutes': must be an expression, as in 'rate(5 minutes)' or"),
        ("runtime = 'custom'",
         "runtime_config: runtime = 'custom' needs {arn = '...', alias = '...'}"),
        ("policies = [{actions = ['s3:*'], resources = ['*']}]",
         "must be a list of IAM actions without a wildcard"),
        ("capacity_provider = true",
         "capacity_provider: needs vpc, with the subnets of its instances"),
        (f"capacity_provider = {{arn = '{PROVIDER}', memory_gib_per_vcpu = 3}}\nmemory = 4096",
         "memory_gib_per_vcpu = 3: must be 2, 4 or 8 (GiB)"),
        (f"capacity_provider = {{arn = '{PROVIDER}', memory_gib_per_vcpu = 8}}\nmemory = 4096",
         "capacity_provider.memory_gib_per_vcpu: more than the function's memory"),
        ("schedule = {expression = 'rate(5 minutes)', input = 'tidy'}",
         "input = 'tidy': must be an event as JSON"),
        ("vpc = {subnets = ['subnet-1'], security_groups = ['sg-1'], cache = true}",
         "id: missing; cache needs a new security group"),
        ("snapstart = true\nruntime = 'provided.al2023'", "snapstart: needs a managed Python"),
        ("url = {auth = 'public'}", "auth = 'public': must be 'aws_iam' or 'none'"),
        ("routes = ['GET /']\nauthorizer = 'jwt'",
         "authorizer = 'jwt': must be 'aws_iam', or a table with the issuer and audience of"),
        ("routes = ['GET /']\nauthorizer = {issuer = 'https://id.example'}",
         "audience: missing; a token is checked by its issuer and its audience"),
        ("url = true\nauthorizer = 'aws_iam'", "authorizer: is for routes; url has auth"),
        ("url = 'yes'", "url = 'yes': must be a table, or true"),
        ("stream = 'orders'",
         "stream = 'orders': must be the ARN of a Kinesis stream or of a table's stream, as in"),
        ("stream = 'arn:aws:kinesis:eu-central-1:000000000000:stream/orders/consumer/mine:1'",
         "must be the ARN of a Kinesis stream"),
        ("stream = true", "arn: missing; write the ARN of a Kinesis stream or of a table's stream"),
        (f"stream = {{arn = '{STREAM}', starting_position = 'newest'}}",
         "starting_position = 'newest': must be 'trim_horizon' or 'latest'"),
        (f"stream = {{arn = '{STREAM}', maximum_record_age = 30}}",
         "maximum_record_age = 30: must be an integer from 60 to 604800 (seconds)"),
        ("kafka = {topic = 'orders'}",
         "cluster: missing; write the ARN of an MSK cluster, or the servers of your own"),
        (f"kafka = {{topic = 'orders', cluster = ['{CLUSTER}', 'kafka.example:9092']}}",
         "cluster: an MSK cluster is one ARN and no servers; remove the others"),
        (f"kafka = {{topic = 'orders', cluster = '{CLUSTER}', auth = 'basic_auth'}}",
         "auth = 'basic_auth': an MSK cluster takes 'sasl_scram_512_auth' or"),
        ("kafka = {topic = 'orders', cluster = 'kafka.example'}",
         "cluster = 'kafka.example': must be the ARN of an MSK cluster, or the servers of"),
        ("kafka = {topic = 'orders', cluster = 'kafka.example:9092'}",
         "kafka: your own cluster needs a secret, or a vpc in which Lambda reaches it"),
        ("environment = {TOKEN = 12345}", "TOKEN: must be a text; write it in quotes"),
        ("environment = {A = '12345'}",
         "A: a variable's name has at least two characters: a letter first, then letters"),
        ("environment = {OKIBI_METRICS = 'AWS/shop'}",
         "environment: OKIBI_METRICS must be a CloudWatch namespace that begins with a letter"),
        ("environment = {OKIBI_LOOP = 'curio'}",
         "environment: OKIBI_LOOP must be trio or asyncio, got 'curio'"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_key_and_what_was_expected(body: str, mistake: str) -> None:
    (said,) = mistakes_in(body)

    assert mistake in said
    assert "12345" not in said


@pytest.mark.parametrize(
    ("body", "mistakes"),
    [
        ("environment = {A = 1, _B = 2}", 4),
        ("queue = {fifo = true, batching_window = 5, batch_size = 20}", 2),
        ("policies = [{}, {actions = 's3:*'}]", 4),
        ("table = {partition_key = {}, sort_key = {type = 'X'}}", 3),
    ],
)
def test_a_table_has_all_its_mistakes_told(body: str, mistakes: int) -> None:
    assert len(mistakes_in(body)) == mistakes


def test_a_wrong_key_is_not_called_missing_too() -> None:
    body = "routes = ['GET /']\nauthorizer = {issuer = 'http://id', audience = 'shop'}"

    (mistake,) = mistakes_in(body)

    assert "issuer = 'http://id': must be an address, as in 'https://...'" in mistake


@pytest.mark.parametrize("text", ["okibi = 1", "okibi.functions = 1", "okibi.functions.f = 1"])
def test_a_value_in_place_of_a_table_is_named(text: str) -> None:
    (mistake,) = parse_project(tomllib.loads(f"[tool]\n{text}"), "folder")[1][:1]

    assert mistake.endswith("= 1: must be a table")


@pytest.mark.parametrize("handler", [r"src\app.handler", r"C:\src\app.handler", r"\app.handler"])
def test_a_handler_with_backslashes_is_refused(handler: str) -> None:
    with pytest.raises(BadInput) as refused:
        check_handler(handler)

    assert str(refused.value) == (
        f"handler {handler!r} contains a backslash; "
        "write module.name, as in app.handler or folder/app.handler"
    )


@pytest.mark.parametrize("handler", ["app", "app:function", "app."])
def test_a_handler_has_a_module_and_a_name(handler: str) -> None:
    text = f"[tool.okibi.functions.f]\nhandler = '{handler}'"

    assert parse_project(tomllib.loads(text), "folder")[1] == [
        f"[tool.okibi.functions.f] handler = '{handler}': must be module.name, as in 'app.handler'"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[tool", "not TOML .*; correct the file there"), (b"\xff", "save the file as UTF-8")],
)
def test_a_file_that_cannot_be_read_is_told_with_the_cure(
    content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)

    with pytest.raises(BadInput, match=said):
        read_project(tmp_path)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.okibi]\nregoin = 'eu-central-1'\n[tool.okibi.functions.f]\nlog_format = 'xml'\n"
    )

    with pytest.raises(BadInput) as caught:
        read_project(tmp_path)

    function = "pyproject.toml: [tool.okibi.functions.f]"
    assert str(caught.value).splitlines() == [
        "pyproject.toml: [tool.okibi] unknown key 'regoin'; did you mean 'region'?",
        f"okibi: {function} log_format = 'xml': must be 'text' or 'json'",
        f"okibi: {function} handler: missing; write module.name, as in 'app.handler'",
    ]


def test_managed_instances_run_for_ninety_minutes() -> None:
    vpc = "vpc = {subnets = ['subnet-1'], security_groups = ['sg-1']}"

    assert mistakes_in(f"capacity_provider = true\ntimeout = 5400\n{vpc}") == []
    assert len(mistakes_in("timeout = 5400")) == 1


def test_values_of_the_environment_are_not_in_the_settings_repr() -> None:
    function = ProjectFunction("f", "app.f", environment={"TOKEN": "hush"})

    assert "hush" not in repr(function)


# -- routes


def test_routes_may_be_those_of_a_rest_api_or_a_load_balancer() -> None:
    project = parse(
        """
        [tool.okibi.functions.visits]
        handler = "app.function"
        routes = ["GET /"]
        route_kind = "alb"
        """
    )

    assert project.functions["visits"].route_kind == "alb"


def test_a_template_has_routes_of_an_http_api_only() -> None:
    function = ProjectFunction("visits", "app.function", routes=["GET /"], route_kind="rest-api")

    with pytest.raises(BadInput, match="route_kind = 'rest-api': only okibi dev serves it"):
        build_template(function)
