"""Run the suite on both servers and print a table: `python -m tests.conformance.runtime_api`.

Each case is one line: its number in the specification's list, the number of observations, and
whether each server did as specified. The listed differences and their reasons follow. The exit code
is 1 if a server differs from the specification and the difference is not listed.
"""

import sys
import tempfile
from pathlib import Path

from tests.conformance.runtime_api.cases import Case
from tests.conformance.runtime_api.differences import DIFFERENCES
from tests.conformance.runtime_api.session import (
    Observation,
    emulator_session,
    local_session,
    many_refused,
)
from tests.conformance.runtime_api.suite import ALL
from tests.support.emulator import NoEmulatorError, emulator

__all__ = ["main"]


def main() -> int:
    """Print the table and return the exit code."""
    try:
        executable, why = emulator(), ""
    except NoEmulatorError as missing:
        executable, why = None, str(missing)
    unlisted = observed = 0
    for case in ALL:
        with tempfile.TemporaryDirectory() as folder:
            ours = _run_case(case, None, Path(folder))
        theirs = None
        if executable is not None and not (case.mode == "many" and many_refused()):
            with tempfile.TemporaryDirectory() as folder:
                theirs = _run_case(case, executable, Path(folder))
        observed += len(ours)
        wrong = [each.label for each in ours if each.actual != each.expected]
        listed = {each.label for each in DIFFERENCES if each.case == case.run.__name__}
        other = {each.label for each in theirs or [] if each.actual != each.expected}
        unlisted += len(wrong) + (0 if theirs is None else len(other ^ listed))
        emulated = "not run" if theirs is None else "differs" if other else "same"
        verdict = f"local {'WRONG' if wrong else 'same'}  emulator {emulated}"
        print(f"{case.number:>3} {case.mode:<4} {len(ours):>2} observed  {verdict:<32} {case.name}")
    print(
        f"\n{len(ALL)} cases, {observed} observations, {unlisted} neither as specified nor listed"
    )
    if why:
        print(f"the emulator did not run: {why}")
    for each in DIFFERENCES:
        print(f"\n{each.case}, {each.label}\n  the emulator: {each.emulator}\n  {each.reason}")
    return int(unlisted > 0)


def _run_case(case: Case, executable: Path | None, folder: Path) -> list[Observation]:
    opening = (
        local_session(case.mode, case.timeout, folder)
        if executable is None
        else emulator_session(executable, case.mode, case.timeout, folder)
    )
    with opening as session:
        case.run(session)
    return session.observations


if __name__ == "__main__":
    sys.exit(main())
