"""What is measured in which environment, and where what is temporary has no room."""

import os
from pathlib import Path

import pytest

from okibi.cli.bench.functions import FUNCTIONS
from okibi.cli.bench.measure import _Bench
from tests.cli.bench.made import order


@pytest.mark.parametrize("path", [None, "/else/where"])
def test_bytecode_goes_elsewhere_than_into_the_user_s_folder(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPYCACHEPREFIX", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
        if path:
            monkeypatch.setenv(name, path)
    bench = _Bench(order(tmp_path), {}, tmp_path)

    assert bench._environment()["PYTHONPYCACHEPREFIX"] == path or str(tmp_path / "compiled")
    assert bench._environment().get("PYTHONPATH") == path
    assert bench._environment(own=True)["PYTHONPATH"] == os.pathsep.join(
        [str(FUNCTIONS), *([path] if path else [])]
    )
