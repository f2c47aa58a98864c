"""The samples of README and docs/ run, print what the page says, and pass the type checker."""

import re
import runpy
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import pytest

from okibi import aws
from okibi.actors.crash_report import CrashReport
from okibi.cli.__main__ import main
from okibi.deployment.template.alarms import DEADLINE_PATTERNS
from okibi.local import FunctionSettings, open_local_lambda
from okibi.project import settings as project_settings
from okibi.project.reader import parse_project
from okibi.runtime.settings import read_settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
TABLE = Path(__file__).parent / "runtime"
SAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
PRINTED = re.compile(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", re.DOTALL)
SAMPLES = [
    pytest.param(sample, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, sample in enumerate(SAMPLE.findall(page.read_text("utf-8")))
]
FUNCTION = "function = Function(handler=Greeter, children=[Child(Visits, name=VISITS)])"


def sample_of(page: Path, word: str) -> str:
    """The first sample of a page that contains a word."""
    for sample in SAMPLE.findall(page.read_text("utf-8")):
        if word in sample:
            return str(sample)
    pytest.fail(f"{page.name} has no sample with {word}")


async def test_the_function_of_the_first_page_is_served(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "first-function.md", FUNCTION))
    settings = FunctionSettings(
        handler="app.function",
        command=(sys.executable, "-P", "-m", "okibi.runtime"),
        task_root=tmp_path,
    )

    async with open_local_lambda(settings) as function:
        await function.invoke(b'{"name": "bob"}')
        answer = await function.invoke(b'{"name": "bob"}')
        refused = await function.invoke(b'{"nome": "bob"}')

    assert answer.payload == b'{"message":"hello bob","visit":2}'
    assert refused.error_type == "Runtime.UnmarshalError"
    assert b"`name`" in refused.payload


async def test_the_sample_of_after_response_runs_after_the_answer(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "handlers.md", "after_response"))
    settings = FunctionSettings(
        handler="app.handler",
        command=(sys.executable, "-P", "-m", "okibi.runtime"),
        task_root=tmp_path,
    )
    lines = list[str]()

    async with open_local_lambda(settings, output=lines.append) as function:
        answers = [await function.invoke(b'{"orders": %d}' % count) for count in (3, 4)]

    assert [each.payload for each in answers] == [b'{"accepted": true}'] * 2
    assert '{"orders": 3}' in "".join(lines)


async def test_the_sample_of_a_stream_is_streamed(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "streaming.md", "Prelude"))
    settings = FunctionSettings(
        handler="app.handler",
        command=(sys.executable, "-P", "-m", "okibi.runtime"),
        task_root=tmp_path,
    )

    async with (
        open_local_lambda(settings) as function,
        function.stream(b'{"count": 3}') as answer,
    ):
        pieces = [piece async for piece in answer]
        result = await answer.result()

    prelude, _, said = b"".join(pieces).partition(b"\0" * 8)
    assert prelude == b'{"statusCode":200,"headers":{"content-type":"text/event-stream"}}'
    assert said == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert result.error_type is None


async def test_the_sample_of_a_counter_repeats_its_token() -> None:
    names: dict[str, Any] = {}
    exec(sample_of(DOCS / "aws.md", "count_visit"), names)
    writes = list[dict[str, Any]]()

    def lose_the_first_answer(
        service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        writes.append(parameters)
        if len(writes) == 1:
            raise aws.CallFailed(service, operation, "Disconnected")
        return {}

    with aws.answer_with(lose_the_first_answer):
        await names["count_visit"]("bob", "e-1")

    assert [each["ClientRequestToken"] for each in writes] == ["e-1", "e-1"]
    assert writes[0] == writes[1]


@pytest.mark.parametrize(
    ("sample", "printed"),
    [
        pytest.param(*found, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, found in enumerate(PRINTED.findall(page.read_text("utf-8")))
    ],
)
def test_a_sample_prints_what_its_page_says(
    sample: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "sample.py").write_text(sample)
    monkeypatch.chdir(tmp_path)

    runpy.run_path("sample.py", run_name="__main__")

    assert capfd.readouterr().out == printed


def test_each_sample_is_python() -> None:
    for sample in SAMPLES:
        compile(str(sample.values[0]), str(sample.id), "exec")


@pytest.mark.slow
def test_all_samples_pass_the_type_checker(tmp_path: Path) -> None:
    for number, sample in enumerate(SAMPLES):
        name = re.sub(r"\W", "_", str(sample.id))
        (tmp_path / f"sample_{number}_{name}.py").write_text(str(sample.values[0]))

    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"),
            *("--allow-untyped-defs", "--allow-untyped-calls", "--allow-untyped-decorators"),
            *("--cache-dir", str(tmp_path / "c")),
            *("--config-file", "/dev/null", *map(str, sorted(tmp_path.glob("*.py")))),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_tests_of_the_pages_on_testing_pass(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(sample_of(DOCS / "first-function.md", FUNCTION))
    connection = sample_of(DOCS / "state-machines.md", "class Connection")
    (tmp_path / "connection.py").write_text(connection)
    (tmp_path / "cart.py").write_text(sample_of(DOCS / "entities.md", "# cart.py"))
    (tmp_path / "prices.py").write_text(sample_of(DOCS / "http-client.md", "API = Http"))
    pages = [
        DOCS / f"{name}.md"
        for name in (
            "testing",
            "first-function",
            "state-machines",
            "http-client",
            "aws",
            "entities",
        )
    ]
    samples = [found for page in pages for found in SAMPLE.findall(page.read_text("utf-8"))]
    tests = [sample for sample in samples if "def test_" in sample]
    for number, sample in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(sample)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert "31 passed" in done.stdout, done.stdout
    assert len(tests) == 22


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_target_and_page_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)

    assert set(re.findall(r"`make ([\w-]+)", text)) <= {*targets}
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_readme_lists_the_pages_in_the_groups_of_the_site() -> None:
    trees = re.findall(
        r"```{toctree}\n:caption: (.+)\n(?::.+\n)+\n((?:.+\n)+)```", (DOCS / "index.md").read_text()
    )
    groups = re.findall(r"^\* (.+?): (\[.+(?:\n  .+)*)", README.read_text("utf-8"), re.M)

    assert [
        (group, re.findall(r"\]\((?:docs/)?(.+?)\.md\)", links.lower())) for group, links in groups
    ] == [(caption, pages.split()) for caption, pages in trees]


TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
TEMPLATES = (DOCS / "template.md").read_text("utf-8")


def test_settings_on_the_pages_have_no_mistakes() -> None:
    samples = TOML.findall((DOCS / "deploy.md").read_text("utf-8") + TEMPLATES)

    assert [parse_project(tomllib.loads(sample), "folder")[1] for sample in samples] == [
        [] for _ in samples
    ]
    assert len(samples) == 5


@pytest.mark.parametrize(
    "settings",
    [
        project_settings.ProjectFunction, project_settings.ProjectSettings,
        *(kind for name, kind in vars(project_settings).items()
          if name.endswith("Settings") and attrs.has(kind)),
    ],
)  # fmt: skip
def test_each_key_of_a_function_is_on_its_page(settings: type) -> None:
    fields = {field.name for field in attrs.fields(settings)} - {"kind", "in_project"}
    keys = {*re.findall(r"(?:^|[{,] ?|# or )(\w+) =", "".join(TOML.findall(TEMPLATES)), re.M)}
    tables = {*re.findall(r"\.(\w+)\]", TEMPLATES)}

    assert fields <= {*keys, *tables, "name", "functions", "in_project"}


@pytest.mark.parametrize("command", re.findall(r"^    okibi template (.*?) *#", TEMPLATES, re.M))
def test_the_templates_of_the_page_are_written(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pyproject.toml").write_text(TOML.findall(TEMPLATES)[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["okibi", "template", *command.split()])

    with pytest.raises(SystemExit) as ended:
        main()

    out, err = capfd.readouterr()
    assert ended.value.code == 0, err
    written = out or "".join(file.read_text() for file in tmp_path.glob("template.*"))
    assert "/var/task/bootstrap" in written


def test_each_row_beside_the_official_client_has_its_test_and_each_test_its_row() -> None:
    section = (DOCS / "compatibility.md").read_text("utf-8")
    rows = [line for line in section.splitlines() if line.startswith("|")]
    heads = [n for n, line in enumerate(rows) if line.startswith("| --- |")]
    told = [line for n, line in enumerate(rows) if n not in heads and n + 1 not in heads]
    named = [match[1] for line in told if (match := re.search(r"\| `(\w+)` \|$", line))]
    files = sorted(TABLE.glob("test_compatibility_table*.py"))
    tests = [
        name
        for path in files
        for name in re.findall(r"^async def test_(\w+)", path.read_text("utf-8"), re.M)
    ]

    assert len(named) == len(told) > 30
    assert sorted(named) == sorted(tests)


def test_the_fields_of_a_crash_report_are_on_its_page() -> None:
    table = (DOCS / "logging.md").read_text("utf-8").partition("| field | what |")[2]
    named = re.findall(r"`(\w+)`[,|]? ", "\n".join(re.findall(r"^(\|.+?\|)", table, re.M)))

    assert {*named} == {field.name for field in attrs.fields(CrashReport)} - {"traceback"}


def test_the_filters_of_late_events_are_those_of_templates() -> None:
    page = (DOCS / "existing-function.md").read_text("utf-8")

    assert "\n".join(DEADLINE_PATTERNS.values()) in page


API = DOCS / "api"
API_ENTRY = re.compile(r"^\.\. (?:auto\w+|py:data):: (\w+)$", re.M)


@pytest.mark.parametrize(
    "module",
    [
        "actors",
        "supervisors",
        "runtime",
        "web",
        "batch",
        "cached",
        "resource",
        "entities",
        "http",
        "telemetry",
        "telemetry.datadog",
        "telemetry.opentelemetry",
        "telemetry.powertools",
        "telemetry.sentry",
        "asyncio_loop",
        "local",
        "testing",
    ],
)
def test_each_public_name_is_on_one_api_page_and_in_the_index(module: str) -> None:
    index = (API / "index.md").read_text("utf-8").partition(f"## okibi.{module}\n")[2]
    rows = re.findall(r"^\| {doc}`(.+)` \| (.+) \|$", index.partition("\n## ")[0], re.M)
    in_index = {page: re.findall(r"`(\w+)`", names) for page, names in rows}

    on_pages = {
        str(page.relative_to(API).with_suffix("")): API_ENTRY.findall(page.read_text("utf-8"))
        for page in [*API.glob(f"{module}.md"), *API.glob(f"{module}/*.md")]
    }
    assert in_index == {page: names for page, names in on_pages.items() if names}
    names = [name for page in on_pages.values() for name in page]
    assert sorted(names) == sorted(import_module(f"okibi.{module}").__all__)


class RecordingEnvironment(dict[str, str]):
    """An environment that records the names asked for."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
        self.names = set[str]()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_each_variable_of_okibi_s_own_has_its_row_with_its_default() -> None:
    rows = re.findall(
        r"^\| `(OKIBI_\w+)` \|.* \| (?:`(\w+)`|none) \|$",
        (DOCS / "configuration.md").read_text("utf-8"),
        re.M,
    )
    least = RecordingEnvironment(AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001")

    settings = read_settings(least, ["app.handler"])

    # Read by the actors, which work without the runtime.
    read = {"OKIBI_TRACE", *(name for name in least.names if name.startswith("OKIBI_"))}
    assert read == {name for name, _ in rows}
    # Without the variable, handlers run on trio, and web applications on asyncio.
    assert read_settings({**least, **dict(rows)}, ["app.handler"]) == settings._replace(loop="trio")
