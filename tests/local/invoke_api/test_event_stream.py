"""AWS's event stream encoding, decoded by botocore."""

import json

import pytest

from okibi.local.invoke_api.event_stream import completion, payload_chunk
from okibi.local.platform.invocation import InvokeResult

eventstream = pytest.importorskip("botocore.eventstream")


def read(data: bytes) -> list[tuple[str, bytes]]:
    """Return the messages of a stream, with their types. botocore checks every checksum."""
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(each.headers[":event-type"], each.payload) for each in buffer]


def result(error: str | None, payload: bytes) -> InvokeResult:
    return InvokeResult(200, payload, error and "Unhandled", error, "id-1", 1.0)


@pytest.mark.parametrize("piece", [b"", b"hello", b"\0\xff" * 100_000])
def test_each_piece_is_one_message(piece: bytes) -> None:
    assert read(payload_chunk(piece) * 2) == [("PayloadChunk", piece)] * 2


def test_the_end_of_a_good_response_is_empty() -> None:
    assert read(completion(result(None, b"whole"))) == [("InvokeComplete", b"{}")]


def test_the_end_of_a_failed_response_has_the_error_type_and_body() -> None:
    ((kind, payload),) = read(completion(result("Function.Boom", b'{"errorMessage":"no"}')))

    assert kind == "InvokeComplete"
    assert json.loads(payload) == {
        "ErrorCode": "Function.Boom",
        "ErrorDetails": '{"errorMessage":"no"}',
    }
