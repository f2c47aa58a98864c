"""What is said of a function that cannot be measured, and what is advised."""

import json
from pathlib import Path

import attrs
import pytest

from okibi.cli.bench.contender import Contender
from okibi.cli.bench.record import NO_ROOM
from okibi.cli.bench.refusals import refuse_answer, refuse_run, refuse_stand_in, refuse_start
from okibi.local import FunctionSettings, InvokeResult
from tests.cli.bench.made import PEER, order

OKIBI, OFFICIAL = Contender("okibi", "app.handler"), Contender(PEER, "app.handler")


def answered(error_type: str, message: str = "no") -> InvokeResult:
    """An answer that is an error."""
    payload = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return InvokeResult(200, payload, "Unhandled", error_type, "id", 1.0)


@pytest.mark.parametrize(
    ("contender", "error_type", "advice"),
    [
        (OKIBI, "ValueError", "give an event that it can answer, or --allow-errors to measure its"),
        (OKIBI, "Runtime.DeadlineExceeded", "give --timeout more, or an event that takes it less"),
        (OKIBI, "Sandbox.Timedout", "give --timeout more, or an event that takes it less"),
        (OKIBI, "Runtime.ExitError", "give an event that its process outlives"),
        (OFFICIAL, "Runtime.ExitError",
         "give an event that its process outlives, or leave out --peer to measure okibi alone"),
        (OFFICIAL, "Runtime.MarshalError", "name a plain def that it can serve with --peer"),
        # Who has named the peer's handler need not be told to.
        (Contender(PEER, "app.plain"), "ValueError", "give an event that it can answer, or -"),
    ],
)  # fmt: skip
def test_a_first_answer_that_is_an_error_is_refused_with_an_advice(
    contender: Contender, error_type: str, advice: str, tmp_path: Path
) -> None:
    said = refuse_answer(contender, answered(error_type), order(tmp_path))

    what = f"{contender.handler} on {contender.name} fails on this event: {error_type}: no; "
    assert said.startswith(what + advice)


def test_errors_that_are_allowed_are_measured_but_for_the_end_of_a_process(tmp_path: Path) -> None:
    allowed = order(tmp_path, allow_errors=True)

    assert refuse_answer(OKIBI, answered("ValueError"), allowed) == ""
    assert "Runtime.ExitError" in refuse_answer(OKIBI, answered("Runtime.ExitError"), allowed)


@pytest.mark.parametrize(
    ("error_type", "last"),
    [
        ("Runtime.ExitError", "; correct it and try again; the last it said: set FOO"),
        ("Runtime.ImportModuleError", ", and with what it imports installed"),
    ],
)
def test_of_a_process_that_ends_in_its_init_the_last_word_is_told(
    error_type: str, last: str, tmp_path: Path
) -> None:
    settings = FunctionSettings("app.handler", command=("python",), task_root=tmp_path)
    result = attrs.evolve(answered(error_type), handed_out=False)

    said = refuse_start(OKIBI, settings, result, ["set FOO"])
    assert said.startswith(f"on okibi app.handler in {tmp_path} does not start: {error_type}: no; ")
    assert said.endswith(last)


@pytest.mark.parametrize(
    ("errors", "cure"),
    [
        (["Function.KeyError"], ""),
        (["Runtime.DeadlineExceeded", "Sandbox.Timedout"], "; give a longer --timeout"),
        (["Sandbox.Timedout", "Function.KeyError"], ""),
    ],
)
def test_a_stand_in_that_fails_is_told_of_and_one_that_is_late_has_a_cure(
    errors: list[str], cure: str
) -> None:
    assert refuse_stand_in(OKIBI, errors) == (
        "app.handler on okibi: the handler that stands in for it answers with"
        f" {', '.join(errors)}{cure}"
    )


ENDED = "the runtime has ended (exit code 3); the last it said: bye"
LANES = "the runtime does not answer within 18 s; only 0 of 64 lanes came"


@pytest.mark.parametrize(
    ("contender", "why", "advice"),
    [
        (OKIBI, ENDED, "; give an event that its process outlives"),
        (OFFICIAL, ENDED, "; leave out --peer to measure okibi alone"),
        (OKIBI, f"{ENDED}; give a longer --timeout", ""),
        (OKIBI, LANES, "; give less --concurrency"),
        (OFFICIAL, LANES, "; give less --concurrency, or leave out --peer to measure okibi alone"),
        (OKIBI, "the runtime does not answer within 18 s", ""),
        (OFFICIAL, NO_ROOM, ""),
    ],
)
def test_a_run_without_figures_is_told_of_with_what_may_help(
    contender: Contender, why: str, advice: str
) -> None:
    said = f"Traceback, or whatever a library warns of\n{why}\n"

    assert refuse_run(contender, 1, said) == f"app.handler on {contender.name}: {why}{advice}"
