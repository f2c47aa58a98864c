"""Errors while crashes are measured. `test_command.py` measures real crashes."""

import json
import sys

import pytest

from okibi.bench.crashes import _check, measure_restart
from okibi.bench.functions import CRASHING
from okibi.local import InvokeResult

COMMAND = (sys.executable, "-P", "-m", "okibi.runtime")


def answered(error_type: str | None) -> InvokeResult:
    """A good answer, or an error answer."""
    payload = json.dumps({"errorType": error_type}).encode()
    return InvokeResult(200, payload, error_type and "Unhandled", error_type, "id", 1.0)


def test_an_unexpected_answer_is_an_error() -> None:
    assert _check(answered(None), good=True) == b'{"errorType": null}'
    assert _check(answered("ValueError"), good=False) == b'{"errorType": "ValueError"}'
    with pytest.raises(RuntimeError, match=r'answers with {"errorType": null}$'):
        _check(answered(None), good=False)
    with pytest.raises(RuntimeError, match=r'answers with {"errorType": "ValueError"}$'):
        _check(answered("ValueError"), good=True)


@pytest.mark.slow
async def test_measuring_a_restart_fails_without_a_new_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okibi.bench.crashes.RESTARTING", CRASHING)

    with pytest.raises(RuntimeError) as raised:
        await measure_restart(COMMAND, {})
    assert str(raised.value) == "the instance was not replaced after its exception"
