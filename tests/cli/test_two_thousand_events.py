"""2,000 asynchronous events of a function that fails half the time, across Ctrl-C."""

import http.client
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.limits import HANG
from tests.support.okibi_dev import OkibiDev, run_okibi_dev

COUNT = 2_000

APP = """
def handler(event, context):
    with open("attempts.log", "a") as attempts:
        attempts.write(f"{event['n']}\\n")
    if event["n"] % 2:
        raise ValueError("odd")
"""


def invoke_all(dev: OkibiDev) -> None:
    """Invoke the function COUNT times (InvocationType Event), each with a number."""
    connection = http.client.HTTPConnection(dev.url.removeprefix("http://"))
    for number in range(COUNT):
        connection.request(
            "POST",
            "/2015-03-31/functions/shop/invocations",
            json.dumps({"n": number}),
            {"X-Amz-Invocation-Type": "Event"},
        )
        response = connection.getresponse()
        response.read()
        assert response.status == 202
    connection.close()


def read_records(path: Path) -> list[dict[str, dict[str, int]]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_2_000_events_are_retried_and_recorded_across_ctrl_c(tmp_path: Path) -> None:
    folder = tmp_path / "shop"  # the function's name
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    options = ("app.handler", "--data", "kept", "--retry-delay", "0.01", "--no-freeze")

    with run_okibi_dev(folder, *options, limit=5 * HANG) as dev:
        invoke_all(dev)
        assert dev.end() == 130
    first = len(read_records(folder / "kept/on-failure/shop.jsonl"))
    assert 0 < first < COUNT // 2
    assert any("queued events of shop are kept" in line for line in dev.output)

    queue = folder / "kept/queue/shop.jsonl"
    with run_okibi_dev(folder, *options, limit=5 * HANG) as dev:
        while queue.read_bytes():
            time.sleep(0.1)
        assert dev.end() == 130

    records = read_records(folder / "kept/on-failure/shop.jsonl")
    failed = [record["requestPayload"]["n"] for record in records]
    assert sorted(failed) == list(range(1, COUNT, 2))
    assert {record["requestContext"]["approximateInvokeCount"] for record in records} == {3}
    # An attempt that Ctrl-C ended runs again: one for each sandbox at most.
    attempts = Counter(map(int, (folder / "attempts.log").read_text().split()))
    assert attempts.total() - COUNT * 2 <= 10
    assert {attempts[number] for number in range(0, COUNT, 2)} <= {1, 2}
    assert {attempts[number] for number in range(1, COUNT, 2)} <= {3, 4}
