"""The environment variables of the measured processes."""

import os
from pathlib import Path

import pytest

from okibi.bench.functions import FUNCTIONS
from okibi.bench.measure import _Bench
from tests.bench.made_up_results import options


@pytest.mark.parametrize("path", [None, "/else/where"])
def test_bytecode_is_not_written_to_the_users_folder(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPYCACHEPREFIX", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
        if path:
            monkeypatch.setenv(name, path)
    bench = _Bench(options(tmp_path), {}, tmp_path)

    assert bench._environment()["PYTHONPYCACHEPREFIX"] == path or str(tmp_path / "compiled")
    assert bench._environment().get("PYTHONPATH") == path
    assert bench._environment(own_handlers=True)["PYTHONPATH"] == os.pathsep.join(
        [str(FUNCTIONS), *([path] if path else [])]
    )
