"""What a crash costs: what is said where that cannot be measured. `test_command.py` measures it."""

import json
import sys

import pytest

from okibi.cli.bench.crashes import _check, restart_time
from okibi.cli.bench.functions import CRASHING
from okibi.local import InvokeResult

COMMAND = (sys.executable, "-P", "-m", "okibi.runtime")


def answered(error_type: str | None) -> InvokeResult:
    """A good answer, or an error."""
    payload = json.dumps({"errorType": error_type}).encode()
    return InvokeResult(200, payload, error_type and "Unhandled", error_type, "id", 1.0)


def test_an_answer_is_good_or_bad_as_it_has_to_be() -> None:
    assert _check(answered(None), good=True) == b'{"errorType": null}'
    assert _check(answered("ValueError"), good=False) == b'{"errorType": "ValueError"}'
    with pytest.raises(RuntimeError, match=r'answers with {"errorType": null}$'):
        _check(answered(None), good=False)
    with pytest.raises(RuntimeError, match=r'answers with {"errorType": "ValueError"}$'):
        _check(answered("ValueError"), good=True)


@pytest.mark.slow
async def test_a_handler_that_is_not_replaced_has_no_warm_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okibi.cli.bench.crashes.RESTARTING", CRASHING)

    with pytest.raises(RuntimeError, match="is not replaced"):
        await restart_time(COMMAND, {})
