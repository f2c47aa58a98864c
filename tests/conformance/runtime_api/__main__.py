"""Play the suite on both servers and print it: `python -m tests.conformance.runtime_api`.

A line a case: its number in the specification's list, what was seen of it, and on which server all
of that was as specified; below, the differences with their reasons. The exit code is 1 where
something is otherwise than specified and not listed.
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
    """The table; the exit code."""
    try:
        executable, why = emulator(), ""
    except NoEmulatorError as missing:
        executable, why = None, str(missing)
    unlisted = seen = 0
    for case in ALL:
        with tempfile.TemporaryDirectory() as folder:
            ours = _played(case, None, Path(folder))
        theirs = None
        if executable is not None and not (case.mode == "many" and many_refused()):
            with tempfile.TemporaryDirectory() as folder:
                theirs = _played(case, executable, Path(folder))
        seen += len(ours)
        wrong = [it.label for it in ours if it.actual != it.expected]
        listed = {it.label for it in DIFFERENCES if it.case == case.run.__name__}
        other = {it.label for it in theirs or [] if it.actual != it.expected}
        unlisted += len(wrong) + (0 if theirs is None else len(other ^ listed))
        emulated = "not run" if theirs is None else "differs" if other else "same"
        verdict = f"local {'WRONG' if wrong else 'same'}  emulator {emulated}"
        print(f"{case.number:>3} {case.mode:<4} {len(ours):>2} seen  {verdict:<32} {case.name}")
    print(f"\n{len(ALL)} cases, {seen} things seen, {unlisted} otherwise than specified and listed")
    if why:
        print(f"the emulator was not run: {why}")
    for it in DIFFERENCES:
        print(f"\n{it.case}, {it.label}\n  the emulator: {it.emulator}\n  {it.reason}")
    return int(unlisted > 0)


def _played(case: Case, executable: Path | None, folder: Path) -> list[Observation]:
    where = (
        local_session(case.mode, case.timeout, folder)
        if executable is None
        else emulator_session(executable, case.mode, case.timeout, folder)
    )
    with where as session:
        case.run(session)
    return session.observations


if __name__ == "__main__":
    sys.exit(main())
