"""`OKIBI_METRICS` and OpenTelemetry: what goes wrong in the tree, as metrics."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from okibi.actors import logs
from okibi.runtime.serving.tree_metrics import MOST_PATHS, EmbeddedMetrics
from okibi.runtime.settings import Settings
from tests.support.faults import add_metrics, find_metrics, run_faults
from tests.support.sandbox import FUNCTIONS, ROOT, process_of, running


def make(**changes: Any) -> EmbeddedMetrics:
    return EmbeddedMetrics(
        Settings(
            "127.0.0.1:9001", "app.handler", "/var/task",
            metrics="shop", function_name="orders", function_version="7", **changes,
        )
    )  # fmt: skip


async def test_the_metrics_of_each_kind_of_fault_are_what_happened() -> None:
    kinds = {
        "failing handler": 3, "late event": 1, "dying worker": 2, "crashing actor": 4,
        "actor that keeps crashing": 1, "full mailbox": 1, "held loop": 1,
    }  # fmt: skip

    faults, found = await run_faults(kinds, seed=5)

    assert add_metrics(found) == faults.happened
    # The last line is of the end of the process.
    assert len(found) <= faults.events + 1
    for line in found:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "shop/tree"
        assert directive["Dimensions"] == [["FunctionName"]]
        assert line["FunctionName"] == "function"


ENDS = """
import os, time
from okibi import Child, Function, Server

class Holds(Server):
    async def terminate(self, reason):
        time.sleep(float(os.environ["HOLDS"]))

class Crashes(Server):
    async def terminate(self, reason):
        raise OSError("too late")

def handler(event, context):
    return "ok"

function = Function(handler, [Child(Holds, id="holds"), Child(Crashes, id="crashes")])
"""


@pytest.mark.parametrize(("holds", "code"), [(0, 0), (60, 1)])
async def test_a_crash_at_the_end_of_the_process_is_in_its_log(
    holds: int, code: int, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(ENDS)
    async with process_of(
        "app.function", task_root=tmp_path, OKIBI_METRICS="shop", HOLDS=str(holds)
    ) as (process, api, said):
        assert (await api.invoke(b"{}")).payload == b'"ok"'
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == code

    found = find_metrics(b"".join(said).decode().splitlines())
    assert add_metrics(found) == {("Crashes", "/function/children/crashes"): 1}


@pytest.mark.parametrize("concurrency", [None, 4])
async def test_an_event_with_a_fault_writes_one_line_and_another_none(
    concurrency: int | None,
) -> None:
    environment = {"OKIBI_METRICS": "shop"}
    async with running("app.plain", environment=environment, max_concurrency=concurrency) as app:
        await app.ask({})
        await app.do("raise")
        await app.ask({})
        await app.function.wait_for_report()
        before_the_end = find_metrics(app.lines)

    assert add_metrics(before_the_end) == {("HandlerErrors", ""): 1}
    assert find_metrics(app.lines) == before_the_end


WITH_SDK = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import faulty

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))

async def handler(event, context):
    if event["do"] == "read":
        data = reader.get_metrics_data()
        return None if data is None else data.to_json()
    return await faulty.handler(event, context)

function = faulty.Function(handler, faulty.function.children)
"""


async def test_the_global_meter_provider_gets_the_same_counts(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WITH_SDK)
    async with running(
        "app.function", task_root=tmp_path, environment={"PYTHONPATH": f"{ROOT}:{FUNCTIONS}"}
    ) as app:
        assert await app.do("read") is None
        for what in ("raise", "crash", "crash", "fill"):
            await app.do(what, messages=15)
        read = json.loads(await app.do("read"))

    (scope,) = read["resource_metrics"][0]["scope_metrics"]
    points = [
        (each["name"], point["attributes"], point["value"])
        for each in scope["metrics"]
        for point in each["data"]["data_points"]
    ]
    path = {"okibi.path": "/function/children/a"}
    assert sorted(points, key=str) == [
        ("okibi.crashes", path, 2),
        ("okibi.handler_errors", {}, 1),
        ("okibi.mailbox_peak", path, 10),
        ("okibi.refused_messages", path, 4),
        ("okibi.restarts", path, 2),
    ]
    assert scope["scope"]["name"] == "okibi"


# -- the line


def test_a_line_has_what_was_counted_since_the_last_one() -> None:
    metrics = make()
    metrics.add(logs.RESTARTS, "/function/children/rates", 1)
    metrics.add(logs.RESTARTS, "/function/children/rates", 1)
    metrics.add("LateAnswers", "", 1)
    for peak in (6, 10, 7):
        metrics.add(logs.MAILBOX_PEAK, "/function/children/rates", peak)

    line = json.loads(metrics.take_line())

    assert line["Restarts"] == 2
    assert line["LateAnswers"] == 1
    assert line["MailboxPeak"] == 10
    assert line["paths"] == {
        "Restarts": {"/function/children/rates": 2},
        "MailboxPeak": {"/function/children/rates": 10},
    }
    assert metrics.take_line() == ""


def test_any_number_of_dynamic_children_makes_no_long_line() -> None:
    metrics = make()
    for number in range(1000):
        metrics.add(logs.CRASHES, f"/function/children/sessions/Session-{number}", 1)
        metrics.add(logs.RESTARTS, f"/function/children/cart-of-{number}.", 1)

    line = json.loads(metrics.take_line())

    assert line["paths"]["Crashes"] == {"/function/children/sessions/Session": 1000}
    assert len(line["paths"]["Restarts"]) == MOST_PATHS + 1
    assert line["paths"]["Restarts"]["others"] == 1000 - MOST_PATHS
    assert line["Restarts"] == 1000
