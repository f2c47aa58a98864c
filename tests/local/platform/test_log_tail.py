"""The end of a log, as an invoker gets it."""

import base64

import pytest

from okibi.local.platform.log_tail import TAIL_SIZE, LogTail


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_long_log_is_cut_to_4_kb_and_begins_with_a_whole_character(cut: int) -> None:
    log = LogTail()
    log.extend("熾".encode() * TAIL_SIZE)
    log.add("x" * cut)

    end = base64.b64decode(log.encoded())
    assert TAIL_SIZE - 2 <= len(end) <= TAIL_SIZE
    assert end.decode().startswith("熾熾")
    assert end.endswith(b"x" * cut + b"\n")
