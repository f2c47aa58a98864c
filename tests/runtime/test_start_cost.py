"""What a production start imports is counted: an import is paid for at every cold start."""

import json
import subprocess
import sys

COUNT = """
import json, sys, trio, attr._make as make
made, build = [], make._ClassBuilder.build_class
def count(self):
    made.append(f"{self._cls.__module__}.{self._cls.__name__}")
    return build(self)
make._ClassBuilder.build_class = count
import runtime.bootstrap
print(json.dumps([made, sorted(sys.modules)]))
"""


def imported() -> tuple[list[str], set[str]]:
    """The attrs classes that a start makes, and the modules it imports."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", COUNT], capture_output=True, text=True, check=True
    )
    made, modules = json.loads(done.stdout)
    return made, set(modules)


def test_a_start_makes_at_most_25_attrs_classes_and_imports_no_extra() -> None:
    made, modules = imported()

    assert len(made) <= 25, made
    assert not modules & {"httpx", "typer", "asyncio", "email", "http", "runtime.local", "h11"}
