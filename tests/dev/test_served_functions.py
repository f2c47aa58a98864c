"""The functions that okibi dev serves: functions of a handler, of pyproject.toml, of a template."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from okibi.cli.serve_dev import DevOptions
from okibi.dev.aws_identity import AwsIdentity
from okibi.dev.dev_function import Cors, DevFunction, FunctionUrl, Route, Schedule
from okibi.dev.dev_server import DevServerOptions
from okibi.dev.served_functions import add_variables, change_functions, find_functions
from okibi.project.bad_input import BadInput

PROJECT = """
[tool.okibi.functions.visits]
handler = "app.visits"
timeout = 20
memory = 1024
environment = {LEVEL = "info"}
routes = ["GET /visits/{name}", "$default"]
route_kind = "rest-api"
url = {streaming = true, cors = ["https://a.example"]}
schedule = {expression = "rate(5 minutes)", timezone = "Europe/Berlin", input = '{"a": 1}'}
queue = true
stream = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
kafka = {topic = "orders", cluster = "arn:aws:kafka:eu-central-1:123456789012:cluster/shop/1a2b-3"}

[tool.okibi.functions.many]
handler = "app.many"
memory = 4096
log_format = "json"
capacity_provider = {arn = "arn:aws:lambda:eu-central-1:1:capacity-provider:busy", concurrency = 8}

[tool.okibi.functions.restored]
handler = "app.restored"
python = "3.13"
snapstart = true
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


NONE = AwsIdentity("none", {})


def find(
    asked: str | None = None, template: str | None = None, parameters: Sequence[str] = ()
) -> list[DevFunction]:
    path = None if template is None else Path(template)
    return find_functions(asked, path, parameters, Path("unpacked"))[1]


def test_a_handler_needs_no_project(folder: Path) -> None:
    (served,) = find("app.handler")

    assert served.settings.handler == "app.handler"
    assert served.settings.task_root == folder
    assert served.url == FunctionUrl()


def test_without_an_argument_all_functions_of_the_project_are_served(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)

    source, functions, left_out = find_functions(None, None, (), Path("unpacked"))

    visits, many, restored = functions
    assert (visits.settings.timeout, visits.settings.memory) == (20, 1024)
    assert visits.settings.environment == {"LEVEL": "info"}
    assert visits.routes == (
        Route("GET", "/visits/{name}", "rest-api"), Route("ANY", "$default", "rest-api")
    )  # fmt: skip
    assert visits.url == FunctionUrl(True, Cors(["https://a.example"], ["*"], ["*"]))
    assert visits.schedules == (Schedule("rate(5 minutes)", "Europe/Berlin", '{"a": 1}'),)
    assert many.settings.max_concurrency == 8
    assert restored.settings.snap_start
    assert [each.resource for each in left_out] == [
        "visits.queue", "visits.stream", "visits.kafka"
    ]  # fmt: skip
    assert source == folder / "pyproject.toml"


def test_one_function_of_the_project_is_served_by_its_name(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)

    assert [function.name for function in find("many")] == ["many"]


def test_options_apply_to_every_function(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT.split("[tool.okibi.functions.restored]")[0])

    visits, many = change_functions(
        find(), NONE, timeout=0.5, concurrency=2, max_concurrency=4, freeze=False, attach="many"
    )

    assert (visits.settings.timeout, many.settings.timeout) == (0.5, 0.5)
    assert (visits.settings.max_concurrency, many.settings.max_concurrency) == (4, 4)
    assert (visits.concurrency, visits.freeze) == (2, False)
    assert (visits.attach, many.attach) == (False, True)


def test_variables_of_the_env_file_win_and_are_not_in_a_repr(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)
    variables = {"LEVEL": "hunter2"}

    served = add_variables(find(), variables)

    assert [each.settings.environment["LEVEL"] for each in served] == ["hunter2"] * 3
    options = DevOptions(
        functions=find(), left_out=(), server=DevServerOptions(), identity=NONE, reload=True,
        watch=(), env_file=None, variables=variables, source=folder,
    )  # fmt: skip
    assert "hunter2" not in repr(options)


def test_crash_reports_show_values_unless_the_shell_says_otherwise() -> None:
    for value, shown in (("", "full"), ("types", "types")):
        shell = AwsIdentity("none", {"OKIBI_CRASH_REPORTS": value})
        (function,) = change_functions(find("app.visits"), shell)
        inherited = function.settings.inherited
        assert inherited is not None
        assert inherited["OKIBI_CRASH_REPORTS"] == shown


@pytest.mark.parametrize(
    ("asked", "template", "parameters", "reason"),
    [
        (None, None, [], "which function\\? name its handler, as in app.handler"),
        ("visits", None, [], "no function 'visits': pyproject.toml has no"),
        ("app.f", None, ["A=1"], "--parameter: needs a template"),
        (None, "t.yaml", ["secret"], "--parameter secret: must be NAME="),
        (None, "gone.yaml", [], "--template gone.yaml: cannot be read"),
    ],
)
def test_functions_that_cannot_be_found_are_named(
    asked: str | None, template: str | None, parameters: list[str], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        find(asked, template, parameters)


def test_only_a_served_function_can_be_attached() -> None:
    with pytest.raises(BadInput, match="--attach x: no such function; served: "):
        change_functions(find("app.f"), NONE, attach="x")


TEMPLATE = """
Resources:
  Visits:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.visits, Runtime: python3.13, Timeout: !Ref Limit}
Parameters: {Limit: {Type: Number, Default: 7}}
"""


@pytest.mark.parametrize("asked", [None, "Visits"])
@pytest.mark.parametrize("name", ["template.yaml", "template.yml", "template.json"])
def test_a_template_in_the_folder_is_found_as_sam_finds_it(
    name: str, asked: str | None, folder: Path
) -> None:
    (folder / name).write_text(TEMPLATE)
    (folder / "pyproject.toml").write_text("[project]\nname = 'shop'\n")

    source, functions, _ = find_functions(asked, None, ["Limit=9"], Path("unpacked"))

    assert [each.settings.handler for each in functions] == ["app.visits"]
    assert functions[0].settings.timeout == 9
    assert source == Path(name)


def test_functions_of_pyproject_and_a_handler_win_over_a_template(folder: Path) -> None:
    (folder / "template.yaml").write_text(TEMPLATE)

    assert find("app.other")[0].settings.handler == "app.other"
    (folder / "pyproject.toml").write_text(PROJECT)
    assert [each.name for each in find()] == ["visits", "many", "restored"]
    for asked in (find(template="template.yaml"), find(parameters=["Limit=9"])):
        assert [each.name for each in asked] == ["Visits"]


def test_the_same_route_twice_is_named_before_anything_starts(folder: Path) -> None:
    tables = [
        f'[tool.okibi.functions.{name}]\nhandler = "app.f"\nroutes = ["GET /{{{name}}}"]\n'
        for name in ("visits", "orders")
    ]
    (folder / "pyproject.toml").write_text("".join(tables))

    with pytest.raises(
        BadInput, match=r"route GET /\{orders\} of orders is the same as GET /\{visits\}"
    ):
        change_functions(find(), NONE)


def test_a_wrong_schedule_is_named_before_anything_starts(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        '[tool.okibi.functions.visits]\nhandler = "app.f"\nschedule = "cron(0 3 * * * *)"\n'
    )

    with pytest.raises(BadInput, match=r"functions.visits\] cron\(0 3 "):
        find()
