"""The end of a stream: the error in the trailers always fits the Runtime API's buffer."""

import base64
import json
from typing import Any

import pytest

from okibi.runtime.errors.error_response import error_json, platform_error
from okibi.runtime.in_flight.stream_trailers import TRAILERS_LIMIT, end_of_stream
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import another_json

# Bytes that Go's HTTP server reads of trailers; longer ones fail the whole request.
BUFFER = 4096


def read_trailers(end: bytes) -> tuple[str, Any]:
    """The error's type and body, as the Runtime API reads them."""
    first, kind, body, *rest = end.split(b"\r\n")
    assert (first, rest) == (b"0", [b"", b""])
    return kind.partition(b": ")[2].decode(), json.loads(base64.b64decode(body.partition(b": ")[2]))


def test_a_stream_without_an_error_has_no_trailers() -> None:
    assert end_of_stream(Outcome(b"")) == b"0\r\n\r\n"


def test_an_error_that_fits_is_sent_whole() -> None:
    outcome = platform_error("Runtime.DeadlineExceeded", "late", "id-1")

    kind, body = read_trailers(end_of_stream(outcome))

    assert kind == "Runtime.DeadlineExceeded"
    assert body == json.loads(outcome.body)


def test_a_long_stack_keeps_its_innermost_entries() -> None:
    stack = [
        f'  File "/var/task/app.py", line {n}, in handler\n    step_{n}()\n' for n in range(100)
    ]
    outcome = Outcome(error_json("ValueError", "no", stack, "id-1"), error_type="Function.V")

    end = end_of_stream(outcome)

    _, body = read_trailers(end)
    assert TRAILERS_LIMIT - 200 < len(end) <= TRAILERS_LIMIT < BUFFER
    assert body["errorMessage"] == "no"
    assert body["stackTrace"] == stack[-len(body["stackTrace"]) :]


def test_replaced_json_functions_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcome = platform_error("Runtime.X", "é" * 9000, "id-1")
    before = end_of_stream(outcome)
    another_json(monkeypatch)

    assert end_of_stream(outcome) == before


@pytest.mark.parametrize("message", ["x" * 60_000, "é" * 60_000, "\ud800" * 9000, '"' * 9000])
@pytest.mark.parametrize("kind", ["Function.A", "Function." + "A" * 190])
def test_a_long_message_is_shortened_to_valid_json(message: str, kind: str) -> None:
    stack = ["line\n" * 100] * 100
    outcome = Outcome(error_json(kind, message, stack, "id-1"), error_type=kind)

    end = end_of_stream(outcome)

    read_kind, body = read_trailers(end)
    assert TRAILERS_LIMIT // 2 < len(end) <= TRAILERS_LIMIT < BUFFER
    assert read_kind == kind
    assert body["requestId"] == "id-1"
    assert body["errorMessage"].endswith(" [cut]")
    assert message.startswith(body["errorMessage"].removesuffix(" [cut]"))
