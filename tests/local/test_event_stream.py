"""AWS's event stream, as botocore reads it."""

import json

import pytest

from okibi.local.event_stream import completion, payload_chunk
from okibi.local.invocation import InvokeResult

eventstream = pytest.importorskip("botocore.eventstream")


def read(data: bytes) -> list[tuple[str, bytes]]:
    """The messages of a stream, with their types; botocore checks every checksum."""
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(each.headers[":event-type"], each.payload) for each in buffer]


def result(error: str | None, payload: bytes) -> InvokeResult:
    return InvokeResult(200, payload, error and "Unhandled", error, "id-1", 1.0)


@pytest.mark.parametrize("piece", [b"", b"hello", b"\0\xff" * 100_000])
def test_a_piece_is_a_message_of_its_own(piece: bytes) -> None:
    assert read(payload_chunk(piece) * 2) == [("PayloadChunk", piece)] * 2


def test_a_good_end_tells_nothing() -> None:
    assert read(completion(result(None, b"whole"))) == [("InvokeComplete", b"{}")]


def test_an_error_at_the_end_is_told_with_its_type_and_its_json() -> None:
    ((kind, payload),) = read(completion(result("Function.Boom", b'{"errorMessage":"no"}')))

    assert kind == "InvokeComplete"
    assert json.loads(payload) == {
        "ErrorCode": "Function.Boom",
        "ErrorDetails": '{"errorMessage":"no"}',
    }
