"""A project with a template written for `sam local` is served unchanged."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.okibi_dev import run_okibi_dev

PROJECT = Path(__file__).parents[1] / "support" / "functions" / "sam_project"


@pytest.mark.slow
def test_a_project_for_sam_local_is_served_unchanged(tmp_path: Path) -> None:
    folder = shutil.copytree(PROJECT, tmp_path / "shop")
    soon = datetime.now(UTC) + timedelta(seconds=30)
    schedule = f"ReportSchedule=at({soon:%Y-%m-%dT%H:%M:%S})"

    with run_okibi_dev(folder, "--template", "template.yaml", "--parameter", schedule) as dev:
        # At its start: what is served, and what is not done.
        table = "\n".join(dev.output)
        assert f"GET {dev.url}/hello (REST API)" in table
        assert f"GET {dev.url}/visits/{{name}} (HTTP API)" in table
        assert "ReportsFunction.Orders: SQS: nothing polls or sends here" in table
        assert "VisitsTable: AWS::Serverless::SimpleTable is not made" in table

        # HTTP, with the events of both kinds of API.
        hello = httpx.get(f"{dev.url}/hello")
        assert (hello.status_code, hello.json()["resource"]) == (200, "/hello")
        read = httpx.get(f"{dev.url}/visits/ada", headers={"origin": "http://localhost:3000"})
        expected = {
            "greeting": "hello ada", "stage": "dev", "table": "VisitsTable",
            "reports": "ReportsFunction",
        }  # fmt: skip
        assert read.json() == expected
        assert read.headers["access-control-allow-origin"] == "http://localhost:3000"
        written = httpx.post(f"{dev.url}/visits", json={"name": "bob"})
        assert written.json()["greeting"] == "hello bob"
        assert httpx.get(f"{dev.url}/other").status_code == 404

        # boto3, by logical id or FunctionName.
        client = dev.boto3()
        names = [each["FunctionName"] for each in client.list_functions()["Functions"]]
        assert sorted(names) == ["HelloWorldFunction", "ReportsFunction", "dev-visits"]
        answer = client.invoke(FunctionName="ReportsFunction", Payload=b'{"job": "now"}')
        assert json.load(answer["Payload"]) == {"job": "now"}

        dev.wait_for(r'^ReportsFunction .*report: {"job": "now"} ReportsFunction$')
        dev.wait_for(r'^ReportsFunction .*report: {"job": "report"} ReportsFunction$')
        dev.wait_for("^ReportsFunction +ok ")
        assert dev.end() == 130
