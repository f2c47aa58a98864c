"""The options of `okibi bench`: parsed, or refused in one line."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from okibi.bench import options as module
from okibi.bench.options import QUICK, parse_options
from okibi.bench.prices import SHIPPED_PRICES
from okibi.project.bad_input import BadInput


def read(**given: Any) -> module.BenchOptions:
    for name in ("prices", "json", "markdown"):
        if name in given:
            given[name] = Path(given[name])
    return parse_options("app.handler", None, **given)


@pytest.fixture
def has_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    for name in ("matplotlib.figure", "matplotlib.ticker"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))


def test_the_default_size_takes_a_few_seconds() -> None:
    made = read()

    assert (made.effort.rounds, made.effort.seconds) == (5, 1.0)
    assert (made.event, made.concurrency, made.peer) == (b"{}", (), None)
    assert made.rate == pytest.approx(1e6)


def test_rounds_and_duration_override_quick() -> None:
    assert read(quick=True).effort == QUICK
    made = read(quick=True, rounds=7, duration=0.5).effort
    assert (made.rounds, made.seconds, made.crash_rounds) == (7, 0.5, QUICK.crash_rounds)


@pytest.mark.usefixtures("has_peer")
def test_the_peer_serves_the_same_handler_by_default() -> None:
    assert read(peer="awslambdaric").peer == "app.handler"
    assert read(peer="awslambdaric", peer_handler="app.plain").peer == "app.plain"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"concurrency": "4,x"},
            "--concurrency 4,x: must be integers from 1 to 1024, as in --concurrency 1,4,16",
        ),
        ({"concurrency": "0"}, "--concurrency 0: must be integers from 1 to 1024"),
        ({"concurrency": ""}, "--concurrency : must be integers from 1 to 1024"),
        (
            {"rate": "10"},
            "--rate 10: must be requests per time, as in --rate 10/s, 20k/day or 3M/month",
        ),
        ({"peer": "node"}, "--peer node: unknown; write --peer awslambdaric"),
        (
            {"peer_handler": "a.b"},
            "--peer-handler a.b: needs a peer; add --peer awslambdaric",
        ),
        ({"prices": "none.toml"}, "--prices none.toml: cannot be read"),
        ({"json": "none/report.json"}, "--json none/report.json: cannot be written"),
        ({"markdown": "."}, "--markdown .: cannot be written; give a file in an existing folder"),
        (
            {"json": "one", "markdown": "./one"},
            "--json one: --markdown has the same file; give different files",
        ),
        (
            {"json": "-"},
            "--json -: stdout has the report as text; give a file, as in --json report.json",
        ),
        ({"markdown": "file/below"}, "--markdown file/below: cannot be written; give a file"),
        (
            {"prices": "file", "json": "./file"},
            "--json file: would overwrite an input of the benchmark; give another file",
        ),
        (
            {"rate": "1e300/s"},
            "--rate 1e300/s: exceeds 1,000,000G/month; give a lower rate",
        ),
        ({"prices": "file", "json": "hard"}, "--json hard: would overwrite an input"),
    ],
)
def test_a_bad_option_is_reported_with_its_cure(
    given: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(SHIPPED_PRICES.read_bytes())
    (tmp_path / "hard").hardlink_to(tmp_path / "file")

    with pytest.raises(BadInput) as error:
        read(**given)

    assert str(error.value).startswith(message)


@pytest.mark.usefixtures("has_peer")
@pytest.mark.parametrize("handler", ["./folder/app.handler", ".handler", "/app.handler", " "])
def test_a_handler_that_starts_with_no_module_is_refused(handler: str) -> None:
    message = f" '{handler}' starts with no module; write module.name"
    with pytest.raises(BadInput, match=f"^handler{message}"):
        parse_options(handler, None)
    with pytest.raises(BadInput, match=f"^--peer-handler{message}"):
        read(peer="awslambdaric", peer_handler=handler)


@pytest.mark.usefixtures("has_peer")
def test_a_report_must_not_overwrite_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("folder/app.py", "folder/__init__.py", "plain.py", "other.py"):
        (tmp_path / name).touch()

    for handler in ("folder/app.handler", "folder.app.handler"):
        with pytest.raises(BadInput, match=r"--json folder/app.py: would overwrite an input"):
            parse_options(handler, None, json=Path("folder/app.py"))
    with pytest.raises(BadInput, match=r"--json folder/__init__.py: would overwrite an input"):
        parse_options("folder.handler", None, json=Path("folder/__init__.py"))
    with pytest.raises(BadInput, match=r"--markdown plain.py: would overwrite an input"):
        parse_options(
            "folder/app.handler", None, peer="awslambdaric", peer_handler="plain.handler",
            markdown=Path("plain.py"),
        )  # fmt: skip
    assert parse_options("folder/app.handler", None, json=Path("other.py")).json == Path("other.py")


def test_more_events_at_once_than_open_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))

    assert read(concurrency="32").concurrency == (32,)
    with pytest.raises(BadInput) as refused:
        read(concurrency="1,33")
    assert str(refused.value) == (
        "--concurrency 1,33: needs 65 open files, but the limit is 64;"
        " run `ulimit -n 65` first, or give less --concurrency"
    )


@pytest.mark.usefixtures("has_peer")
def test_a_broken_matplotlib_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(BadInput, match=r"--plots: matplotlib cannot be imported \("):
        read(plots=str(tmp_path))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"peer": "awslambdaric"},
            "--peer awslambdaric: not installed; run: pip install awslambdaric",
        ),
        (
            {"plots": "plots"},
            "--plots: matplotlib is not installed; run: pip install 'okibi[bench]'",
        ),
    ],
)
def test_a_missing_package_is_reported_before_measuring(
    given: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(BadInput) as error:
        read(**given)

    assert str(error.value).startswith(message)


@pytest.mark.usefixtures("has_peer")
@pytest.mark.parametrize("plots", ["plots", "plots/below", ""])
def test_a_file_as_plot_folder_is_refused(
    plots: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plots").write_text("")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BadInput) as refused:
        read(plots=plots)
    assert str(refused.value) == (
        f"--plots {plots}: not a writable folder; give a folder, as in --plots plots"
    )


@pytest.mark.usefixtures("has_peer")
def test_the_plot_folder_is_not_created_before_plots_exist(tmp_path: Path) -> None:
    assert read(plots=str(tmp_path / "a" / "b")).plots == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("has_peer")
def test_the_peers_concurrency_is_limited_to_64() -> None:
    assert read(concurrency="64", peer="awslambdaric").concurrency == (64,)
    assert read(concurrency="65").concurrency == (65,)
    with pytest.raises(BadInput) as refused:
        read(concurrency="65", peer="awslambdaric")
    assert str(refused.value) == (
        "--concurrency 65: --peer needs a process for each event at once; give at most 64"
    )


def test_an_event_above_lambdas_limit_is_refused(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(f'"{"x" * (6 * 2**20 - 2)}"')
    assert len(parse_options("app.handler", str(event)).event) == 6 * 2**20

    event.write_text(f'"{"x" * (6 * 2**20 - 1)}"')
    with pytest.raises(BadInput) as refused:
        parse_options("app.handler", str(event))
    assert str(refused.value) == (
        f"{event}: 6,291,457 bytes exceed Lambda's limit of 6 MB for an event; give a smaller one"
    )
