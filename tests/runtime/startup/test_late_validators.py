"""attrs has its validators, which are imported when first used."""

import json
import subprocess
import sys
from typing import Any

import pytest

LEAN = """
import sys
from okibi.runtime.__main__ import import_okibi
import_okibi()
assert {"attr.validators", "attrs.validators"}.isdisjoint(sys.modules)
"""
# What a user sees of attrs. From Python 3.13 on, each class of attrs gives `evolve` its module.
NAMES = """
import json, trio, attr, attrs
found = {}
for module in (attr, attrs, attr.validators, attrs.validators):
    for name in set(dir(module)) - {"evolve"}:
        value = getattr(module, name, None)
        about = [getattr(value, each, None) for each in ("__module__", "__name__")]
        found[module.__name__ + "." + name] = [type(value).__name__, *about]
names = {}
exec("from attr import *", names)
found["*"] = sorted(name for name in names if not name.startswith("_"))
print(json.dumps({name: seen for name, seen in found.items() if "__" not in name}))
"""
USES = """
import json
IMPORTING
@attrs.define
class Made:
    number: int = attrs.field(validator=attrs.validators.instance_of(int))
try:
    Made("text")
except TypeError as error:
    kind = type(attrs.fields(Made).number.validator).__name__
    print(json.dumps([Made(1).number, type(error).__name__, kind]))
"""
IMPORTS = (
    "import attrs",
    "import attrs\nfrom attrs import validators",
    "import attr as attrs",
    "import attrs.validators",
    "from attr.validators import instance_of\nimport attrs",
    "import attrs\nassert hasattr(attrs, 'validators')",
    "import attrs, attr\nassert attrs.validators.instance_of is attr.validators.instance_of",
)
OUTCOME = """
import json, attr, outcome, trio
error = outcome.Error(ValueError("taken"))
words = []
for refused in ("text", ValueError):
    try:
        outcome.Error(refused)
    except TypeError as problem:
        words.append(problem.args[0])
print(json.dumps([repr(error), words]))
"""


def run(code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_attrs_has_the_names_of_a_plain_import() -> None:
    assert run(LEAN + NAMES) == run(NAMES)


@pytest.mark.parametrize(
    "importing", [IMPORTS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in IMPORTS[1:])]
)
def test_validators_work_however_they_are_imported(importing: str) -> None:
    seen = run(LEAN + USES.replace("IMPORTING", importing))

    assert seen == [1, "TypeError", "_InstanceOfValidator"]


@pytest.mark.slow
def test_outcome_refuses_a_value_as_after_a_plain_import() -> None:
    assert run(LEAN + OUTCOME) == run(OUTCOME)
