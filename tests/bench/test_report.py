"""The report: description, figures, costs, JSON."""

from pathlib import Path

import attrs
import msgspec
import pytest

from okibi.bench.report import BenchReport, make_report
from tests.bench.made_up_results import MACHINE, PEER, options, results, run


def test_a_report_describes_its_benchmark_and_encodes_as_json(tmp_path: Path) -> None:
    report = make_report(options(tmp_path), results([run(100)], [run(90)]), MACHINE)

    assert (report.handler, report.event_bytes, report.answer_bytes) == ("app.handler", 8, 2)
    assert (report.rounds, report.machine, report.peer) == (3, MACHINE, None)
    assert report.taken
    assert report.prices.startswith("us-east-1, 20")
    encoded = msgspec.json.encode(report)
    again = msgspec.to_builtins(msgspec.json.decode(encoded, type=BenchReport))
    assert msgspec.json.decode(msgspec.json.encode(again)) == msgspec.json.decode(encoded)


def test_the_costs_of_each_runtime_come_from_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 20 ms, half of them processor time, and 300 MB.
    slow = run(20_000, cpu_us=10_000, peak=300 << 20)
    monkeypatch.setattr("okibi.bench.report.peer_version", lambda: "4.2.2")
    asked = attrs.evolve(options(tmp_path), peer="app.plain")
    report = make_report(asked, results([slow], [slow], peer=True), MACHINE)

    assert (report.peer, report.peer_handler) == (f"{PEER} 4.2.2", "app.plain")
    on_lambda, _, small, *_ = report.costs
    # 10 ms of waiting, and 10 of computing on 300 / 1769 of a core.
    assert (on_lambda.where, report.memory_mb) == ("Lambda, x86_64", 300)
    assert on_lambda.how.startswith("300 MB, 69.0 ms billed")
    assert small.how.startswith("1 of 40/s")
    # 40 ms, half of it processor time, and 22 MB.
    assert on_lambda.peer_how.startswith("128 MB, 297.0 ms billed")
    assert small.peer_how.startswith("1 of 20/s")
