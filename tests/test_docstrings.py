"""The examples in public docstrings run as typed, with their own imports only."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TYPED = """
import doctest, inspect, sys, trio
from okibi import actors, supervisors, runtime

tests = {}
for layer in (actors, supervisors, runtime):
    for name in layer.__all__:
        shown = getattr(layer, name)
        if inspect.isclass(shown) or inspect.isfunction(shown):
            for test in doctest.DocTestFinder(exclude_empty=True).find(shown, name):
                tests[test.name] = test
tests = {name: test for name, test in tests.items() if test.examples}
for test in tests.values():
    # Remove what an earlier example may have imported.
    vars(trio).pop("testing", None)
    sys.modules.pop("trio.testing", None)
    test.globs = {}
    doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(test)
print(len(tests))
"""


def test_the_examples_of_public_docstrings_run_as_typed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TYPED], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    assert done.stdout.strip().isdigit(), done.stdout + done.stderr
    assert int(done.stdout) >= 14
