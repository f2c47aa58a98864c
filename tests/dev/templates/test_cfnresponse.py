"""The module that CloudFormation adds to inline code."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from okibi.dev.templates import cfnresponse

CONTEXT = SimpleNamespace(log_stream_name="2026/12/01/stream")
REQUEST = {"StackId": "stack", "RequestId": "id", "LogicalResourceId": "Secret"}


@contextmanager
def bucket() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Serve a presigned URL; collect what is put there."""
    put = list[dict[str, object]]()

    class Bucket(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            put.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Bucket) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/key?signed", put
        finally:
            server.shutdown()
            thread.join()


def test_a_custom_resource_is_answered() -> None:
    with bucket() as (url, put):
        cfnresponse.send({**REQUEST, "ResponseURL": url}, CONTEXT, cfnresponse.SUCCESS, {"A": 1})

    assert put == [
        {
            **REQUEST, "Status": "SUCCESS", "NoEcho": False, "Data": {"A": 1},
            "PhysicalResourceId": "2026/12/01/stream",
            "Reason": "See the details in CloudWatch Log Stream: 2026/12/01/stream",
        }
    ]  # fmt: skip


def test_a_url_that_does_not_answer_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    event = {**REQUEST, "ResponseURL": "http://127.0.0.1:1/"}
    cfnresponse.send(event, CONTEXT, cfnresponse.FAILED, {}, "id", reason="no")

    assert "CloudFormation could not be answered" in capsys.readouterr().out
