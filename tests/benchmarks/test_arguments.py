"""The command lines of the benchmarks."""

import sys
from collections.abc import Callable

import pytest

from benchmarks import __main__ as usual_run
from benchmarks import repeat, scale
from benchmarks.__main__ import measure_all
from benchmarks.contenders import Absent
from benchmarks.peers import table
from benchmarks.reporting.rows import RatioRow


@pytest.mark.parametrize(
    ("main", "arguments", "why"),
    [
        (usual_run.main, "--rounds 0", "argument --rounds: must be an integer >= 1, got 0"),
        (usual_run.main, "--only nothing", "--only must be one of overhead, "),
        # One group would replace the kept results of all.
        (usual_run.main, "--keep --only actors", "--keep needs --full"),
        (usual_run.main, "--keep", "--keep needs --full"),
        (repeat.main, "--times x", "argument --times: must be an integer >= 1, got x"),
        (scale.main, "--sizes 50 50", "--sizes needs at least two"),
        (table.main, "--rounds -1", "argument --rounds: "),
    ],
)
def test_invalid_arguments_are_refused(
    main: Callable[[], None],
    arguments: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert f"error: {why}" in capsys.readouterr().err.splitlines()[-1]


def test_an_absent_group_is_named_and_the_others_are_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = RatioRow("a", "one / other", (0.5,))

    def nothing() -> list[RatioRow]:
        raise Absent("no emulator here")

    assert measure_all({"many": nothing, "a": lambda: [row]}) == ([row], ["many"])
    assert "no emulator here" in capsys.readouterr().out
