"""The options of okibi dev: functions of a handler, of pyproject.toml, of a template."""

from pathlib import Path

import pytest

from okibi.cli.bad_input import BadInput
from okibi.cli.dev.options import DevOptions, RawDevOptions, add_variables, parse_dev_options
from okibi.local.dev.dev_function import Cors, FunctionUrl, Route, Schedule

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


def parse(**options: object) -> DevOptions:
    return parse_dev_options(RawDevOptions(**options), Path("unpacked"))  # type: ignore[arg-type]


def test_a_handler_needs_no_project(folder: Path) -> None:
    (served,) = parse(function="app.handler").functions

    assert served.settings.handler == "app.handler"
    assert served.settings.task_root == folder
    assert served.url == FunctionUrl()


def test_without_an_argument_all_functions_of_the_project_are_served(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)

    options = parse()

    visits, many, restored = options.functions
    assert (visits.settings.timeout, visits.settings.memory) == (20, 1024)
    assert visits.settings.environment == {"LEVEL": "info"}
    assert visits.routes == (
        Route("GET", "/visits/{name}", "rest-api"), Route("ANY", "$default", "rest-api")
    )  # fmt: skip
    assert visits.url == FunctionUrl(True, Cors(["https://a.example"], ["*"], ["*"]))
    assert visits.schedules == (Schedule("rate(5 minutes)", "Europe/Berlin", '{"a": 1}'),)
    assert many.settings.max_concurrency == 8
    assert restored.settings.snap_start
    assert [each.resource for each in options.left_out] == ["visits.queue"]


def test_one_function_of_the_project_is_served_by_its_name(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)

    assert [function.name for function in parse(function="many").functions] == ["many"]


def test_options_apply_to_every_function(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT.split("[tool.okibi.functions.restored]")[0])

    options = parse(
        port="0", timeout="0.5", concurrency="2", managed_instances="4", freeze=False, data="kept",
        retry_delay="0", allow_hosts=["dev.test"], attach="many",
    )  # fmt: skip

    visits, many = options.functions
    assert [each.settings.timeout for each in options.functions] == [0.5, 0.5]
    assert [each.settings.max_concurrency for each in options.functions] == [4, 4]
    assert (visits.concurrency, visits.freeze) == (2, False)
    assert (visits.attach, many.attach) == (False, True)
    server = options.server
    assert (server.port, server.data, server.retry_delay) == (0, Path("kept"), 0.0)
    assert server.allowed_hosts == ("dev.test",)


def test_variables_of_the_env_file_win_and_are_not_in_a_repr(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / ".env").write_text("LEVEL=hunter2\n")

    options = parse(env_file=".env")

    served = add_variables(options.functions, options.variables)
    assert [each.settings.environment["LEVEL"] for each in served] == ["hunter2"] * 3
    assert "hunter2" not in repr(options)


def test_crash_reports_show_values_unless_the_shell_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for value, shown in (("", "full"), ("types", "types")):
        monkeypatch.setenv("OKIBI_CRASH_REPORTS", value)
        (function,) = parse(function="app.visits").functions
        inherited = function.settings.inherited
        assert inherited is not None
        assert inherited["OKIBI_CRASH_REPORTS"] == shown


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "which function\\? name its handler, as in app.handler"),
        ({"function": "visits"}, "no function 'visits': pyproject.toml has no"),
        ({"function": "app.f", "port": "x"}, "--port x: must be an integer from 0 to 65535"),
        ({"function": "app.f", "concurrency": "0"}, "--concurrency 0: must be an integer from 1"),
        ({"function": "app.f", "timeout": "0"}, "--timeout 0: must be seconds > 0"),
        ({"function": "app.f", "retry_delay": "-1"}, "--retry-delay -1: must be seconds >= 0"),
        ({"function": "app.f", "managed_instances": "0"}, "--managed-instances 0: must be an"),
        ({"function": "app.f", "attach": "x"}, "--attach x: no such function; served: "),
        ({"function": "app.f", "parameters": ["A=1"]}, "--parameter: needs a template"),
        ({"template": "t.yaml", "parameters": ["secret"]}, "--parameter secret: must be NAME="),
        ({"template": "gone.yaml"}, "--template gone.yaml: cannot be read"),
        ({"function": "app.f", "env_file": "gone"}, "--env-file gone: cannot be read"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        parse(**options)


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

    options = parse(function=asked, parameters=["Limit=9"])

    assert [each.settings.handler for each in options.functions] == ["app.visits"]
    assert options.functions[0].settings.timeout == 9
    assert options.source == Path(name)


def test_functions_of_pyproject_and_a_handler_win_over_a_template(folder: Path) -> None:
    (folder / "template.yaml").write_text(TEMPLATE)

    assert parse(function="app.other").functions[0].settings.handler == "app.other"
    (folder / "pyproject.toml").write_text(PROJECT)
    assert [each.name for each in parse().functions] == ["visits", "many", "restored"]
    for asked in ({"template": "template.yaml"}, {"parameters": ["Limit=9"]}):
        assert [each.name for each in parse(**asked).functions] == ["Visits"]


def test_the_same_route_twice_is_named_before_anything_starts(folder: Path) -> None:
    tables = [
        f'[tool.okibi.functions.{name}]\nhandler = "app.f"\nroutes = ["GET /{{{name}}}"]\n'
        for name in ("visits", "orders")
    ]
    (folder / "pyproject.toml").write_text("".join(tables))

    with pytest.raises(
        BadInput, match=r"route GET /\{orders\} of orders is the same as GET /\{visits\}"
    ):
        parse()


def test_a_wrong_schedule_is_named_before_anything_starts(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        '[tool.okibi.functions.visits]\nhandler = "app.f"\nschedule = "cron(0 3 * * * *)"\n'
    )

    with pytest.raises(BadInput, match=r"functions.visits\] cron\(0 3 "):
        parse()
