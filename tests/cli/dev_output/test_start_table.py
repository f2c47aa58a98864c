"""The first lines of okibi dev: what is served where, in 80 columns."""

from datetime import UTC, datetime
from pathlib import Path

from okibi.cli.dev_output.colours import Colour, Paint
from okibi.cli.dev_output.start_table import Serving, make_start_table
from okibi.dev.dev_function import DevFunction, FunctionUrl, Route, Schedule
from okibi.dev.left_out import LeftOut
from okibi.local import FunctionSettings

VISITS = DevFunction(
    FunctionSettings("app.function", name="visits", memory=512, timeout=10),
    routes=[Route("GET", "/visits/{name}"), Route("ANY", "$default", "rest-api")],
    schedules=[Schedule("cron(0 3 * * ? *)", "Europe/Berlin"), Schedule("at(2020-01-01T00:00:00)")],
    url=FunctionUrl(streaming=True),
)
PICTURES = DevFunction(
    FunctionSettings("app.pictures", name="pictures", max_concurrency=16, task_root="tests")
)


def make(*functions: DevFunction, left_out: tuple[LeftOut, ...] = ()) -> list[str]:
    serving = Serving(
        "http://127.0.0.1:9000", functions, "none; --aws gives the one of your shell",
        [function.settings.task_root for function in functions], ["templates/*"],
        Path(".okibi/on-failure"), left_out, datetime(2026, 12, 1, tzinfo=UTC),
    )  # fmt: skip
    return make_start_table(serving, Paint(False))


def test_the_first_lines_say_what_is_served_where() -> None:
    left_out = (LeftOut("visits.queue", "nothing polls it; " + "try okibi event sqs " * 5),)

    assert make(VISITS, PICTURES, left_out=left_out) == [
        "okibi dev serves http://127.0.0.1:9000",
        "",
        "visits  app.function (512 MB, 10 s)",
        "  URL         http://127.0.0.1:9000/lambda-url/visits/ (streaming)",
        "  routes      GET http://127.0.0.1:9000/visits/{name} (HTTP API)",
        "              ANY $default (REST API)",
        "  schedule    cron(0 3 * * ? *), next 2026-12-01 03:00:00 Europe/Berlin",
        "              at(2020-01-01T00:00:00), never again",
        "pictures  app.pictures (128 MB, 3 s)",
        "  URL         http://127.0.0.1:9000/lambda-url/pictures/",
        "  instances   Managed Instances, 16 events at once in one sandbox",
        "",
        "  Lambda API  --endpoint-url http://127.0.0.1:9000 (boto3: endpoint_url=...)",
        "  identity    AWS: none; --aws gives the one of your shell",
        "  reload      when a Python file, templates/* in tests, this folder is saved",
        "  on failure  events go to .okibi/on-failure/NAME.jsonl",
        "",
        "not done here:",
        "  visits.queue: nothing polls it; try okibi event sqs try okibi event sqs try",
        "    okibi event sqs try okibi event sqs try okibi event sqs",
        "",
        "Ctrl-C ends it.",
    ]
    assert max(map(len, make(VISITS, PICTURES, left_out=left_out))) <= 80


def test_a_function_alone_and_without_routes_is_served_at_the_root() -> None:
    assert "  URL         http://127.0.0.1:9000/" in make(PICTURES)


def test_colour_is_for_terminals_and_can_be_turned_off() -> None:
    assert Paint(True)("a", Colour.RED) == "\x1b[31ma\x1b[0m"
    assert Paint(False)("a", Colour.RED) == "a"
