"""What is given on the command line: read, or refused in one sentence."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.bench import order as module
from okibi.cli.bench.order import QUICK, Given, read_order
from okibi.cli.bench.prices import OWN


def read(**given: Any) -> module.BenchOrder:
    options: Given = {}
    options.update(given)  # type: ignore[typeddict-item]
    return read_order("app.handler", None, options)


@pytest.fixture
def has_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    for name in ("matplotlib.figure", "matplotlib.ticker"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))


def test_without_options_it_is_small_enough_to_wait_for() -> None:
    made = read()

    assert (made.size.rounds, made.size.seconds) == (5, 1.0)
    assert (made.event, made.concurrency, made.peer) == (b"{}", (), None)
    assert made.rate == pytest.approx(1e6)


def test_quick_is_a_size_of_which_a_part_may_be_given_too() -> None:
    assert read(quick=True).size == QUICK
    made = read(quick=True, rounds="7", duration="0.5").size
    assert (made.rounds, made.seconds, made.crash_rounds) == (7, 0.5, QUICK.crash_rounds)


@pytest.mark.usefixtures("has_peer")
def test_the_peer_serves_the_same_handler_unless_another_is_named() -> None:
    assert read(peer="awslambdaric").peer == "app.handler"
    assert read(peer="awslambdaric", peer_handler="app.plain").peer == "app.plain"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"rounds": "0"}, "--rounds 0: give a whole number from 1 to 1000"),
        ({"rounds": "x"}, "--rounds x: give a whole number from 1 to 1000"),
        ({"rounds": "1e9"}, "--rounds 1e9: give a whole number from 1 to 1000"),
        ({"duration": "0"}, "--duration 0: give seconds, more than 0"),
        ({"duration": "inf"}, "--duration inf: give seconds, more than 0"),
        ({"timeout": "-1"}, "--timeout -1: give seconds, more than 0"),
        ({"concurrency": "4,x"}, "--concurrency 4,x: give whole numbers from 1 to 1024"),
        ({"concurrency": "0"}, "--concurrency 0: give whole numbers from 1 to 1024"),
        ({"concurrency": ""}, "--concurrency : give whole numbers from 1 to 1024"),
        ({"memory_size": "100"}, "--memory-size 100: give MB, from 128 to 10240"),
        ({"memory_size": "x"}, "--memory-size x: give MB, from 128 to 10240"),
        ({"rate": "10"}, "--rate 10: give a number of requests in a time"),
        ({"peer": "node"}, "--peer node: is not known; the one peer is awslambdaric"),
        ({"peer_handler": "a.b"}, "--peer-handler a.b: is for a peer; give --peer awslambdaric"),
        ({"prices": "none.toml"}, "--prices none.toml: cannot be read"),
        ({"json": "none/report.json"}, "--json none/report.json: cannot be written"),
        ({"markdown": "."}, "--markdown .: cannot be written; give a file"),
        ({"json": "one", "markdown": "./one"}, "--json one: is the file of --markdown too"),
        ({"json": "-"}, "--json -: give a file; the table goes to standard output"),
        ({"markdown": "file/below"}, "--markdown file/below: cannot be written; give a file"),
        ({"prices": "file", "json": "./file"}, "--json file: is read first, and would be lost"),
        ({"rate": "1e300/s"}, "--rate 1e300/s: is more than 1,000,000G/month; give less"),
        ({"prices": "file", "json": "hard"}, "--json hard: is read first, and would be lost"),
    ],
)
def test_a_bad_option_is_named_with_what_is_wrong(
    given: dict[str, str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(OWN.read_bytes())
    (tmp_path / "hard").hardlink_to(tmp_path / "file")

    with pytest.raises(BadInput) as error:
        read(**given)

    assert str(error.value).startswith(sentence)


@pytest.mark.usefixtures("has_peer")
@pytest.mark.parametrize("handler", ["./folder/app.handler", ".handler", "/app.handler", " "])
def test_a_handler_that_begins_with_no_module_is_said(handler: str) -> None:
    sentence = f": '{handler}' begins with no module; write module.name"
    with pytest.raises(BadInput, match=f"^handler{sentence}"):
        read_order(handler, None, {})
    with pytest.raises(BadInput, match=f"^--peer-handler{sentence}"):
        read(peer="awslambdaric", peer_handler=handler)


@pytest.mark.usefixtures("has_peer")
def test_a_report_is_not_written_over_the_function_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("folder/app.py", "folder/__init__.py", "plain.py", "other.py"):
        (tmp_path / name).touch()

    for handler in ("folder/app.handler", "folder.app.handler"):
        with pytest.raises(BadInput, match=r"--json folder/app.py: is read first, and would be"):
            read_order(handler, None, {"json": "folder/app.py"})
    with pytest.raises(BadInput, match=r"--json folder/__init__.py: is read first, and would be"):
        read_order("folder.handler", None, {"json": "folder/__init__.py"})
    peer: Given = {"peer": "awslambdaric", "peer_handler": "plain.handler"}
    with pytest.raises(BadInput, match=r"--markdown plain.py: is read first, and would be lost"):
        read_order("folder/app.handler", None, {**peer, "markdown": "plain.py"})
    assert read_order("folder/app.handler", None, {"json": "other.py"}).json == Path("other.py")


def test_more_at_once_than_files_may_be_open_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))

    assert read(concurrency="32").concurrency == (32,)
    with pytest.raises(BadInput, match=r"--concurrency 1,33: needs 65 open files, and `ulimit -n"):
        read(concurrency="1,33")


@pytest.mark.usefixtures("has_peer")
def test_a_matplotlib_that_cannot_be_imported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(BadInput, match="--plots needs matplotlib, which cannot be imported: "):
        read(plots=str(tmp_path))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"peer": "awslambdaric"}, "--peer awslambdaric: is not installed; pip install awsla"),
        ({"plots": "plots"}, "--plots needs matplotlib, which is not installed; pip install "),
    ],
)
def test_what_is_not_installed_is_said_before_anything_is_measured(
    given: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(BadInput) as error:
        read(**given)

    assert str(error.value).startswith(sentence)


@pytest.mark.usefixtures("has_peer")
@pytest.mark.parametrize("plots", ["plots", "plots/below", ""])
def test_what_is_no_folder_for_plots_is_said(
    plots: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plots").write_text("")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BadInput, match="is no folder to write to"):
        read(plots=plots)


@pytest.mark.usefixtures("has_peer")
def test_the_folder_for_plots_is_not_made_before_there_are_any(tmp_path: Path) -> None:
    assert read(plots=str(tmp_path / "a" / "b")).plots == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("has_peer")
def test_of_the_peer_s_processes_there_are_not_too_many() -> None:
    assert read(concurrency="64", peer="awslambdaric").concurrency == (64,)
    assert read(concurrency="65").concurrency == (65,)
    with pytest.raises(BadInput, match="--concurrency 65: the peer starts a process for each"):
        read(concurrency="65", peer="awslambdaric")


def test_an_event_that_lambda_would_not_take_is_refused(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(f'"{"x" * (6 * 2**20 - 2)}"')
    assert len(read_order("app.handler", str(event), {}).event) == 6 * 2**20

    event.write_text(f'"{"x" * (6 * 2**20 - 1)}"')
    with pytest.raises(BadInput, match="an event of 6,291,457 bytes: Lambda takes no more than 6"):
        read_order("app.handler", str(event), {})
