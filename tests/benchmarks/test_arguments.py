"""What the benchmarks are asked for on a command line, and what they keep."""

import sys
from collections.abc import Callable

import pytest

from benchmarks import __main__ as usual_run
from benchmarks import repeat, scale
from benchmarks.__main__ import measured
from benchmarks.contenders import Absent
from benchmarks.peers import table
from benchmarks.reporting.rows import Row


@pytest.mark.parametrize(
    ("main", "arguments", "why"),
    [
        (usual_run.main, "--rounds 0", "argument --rounds: 0 is no number from 1 on"),
        (usual_run.main, "--only nothing", "--only one of overhead, "),
        # It would put a part in the place of all that is kept.
        (usual_run.main, "--keep --only actors", "--keep keeps all groups"),
        (usual_run.main, "--keep", "--keep keeps all groups, of one run: with --full"),
        (repeat.main, "--times x", "argument --times: x is no number from 1 on"),
        (scale.main, "--sizes 50 50", "--sizes wants two at least"),
        (table.main, "--rounds -1", "argument --rounds: "),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
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


def test_a_group_that_cannot_be_had_is_named_and_the_others_are_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = Row("a", "one / other", (0.5,))

    def nothing() -> list[Row]:
        raise Absent("no emulator here")

    assert measured({"many": nothing, "a": lambda: [row]}) == ([row], ["many"])
    assert "no emulator here" in capsys.readouterr().out
