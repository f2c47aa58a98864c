"""The names exported by `okibi`, each imported at its first use."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import okibi
from okibi import actors, cached, runtime, supervisors

LAYERS = {"actors": actors, "runtime": runtime, "supervisors": supervisors}
OF_ACTORS = {
    *("ActorExited", "Down", "Group", "Name", "Ref", "Refusal", "Server", "StateMachine"),
    *("start", "stop"),
}
OF_SUPERVISORS = {
    *(
        "Application",
        "Child",
        "DynamicSupervisorSpec",
        "PartitionSupervisorSpec",
        "Restart",
        "Strategy",
        "SupervisorSpec",
    ),
    *("TaskSupervisorSpec", "run_task", "snapshot", "supervise"),
}
OF_RUNTIME = {
    *("Context", "DeadlineExceeded", "Function", "Handler", "HttpEvent", "Prelude", "Workers"),
    "streaming",
}
OF_CACHED = {"Cached", "FetchError"}
TYPED = Path(__file__).parent / "typing" / "mistakes" / "exports.py"
COMPLETED = """
import okibi
from okibi import actors, runtime, supervisors
for package in (okibi, actors, runtime, supervisors):
    print({*package.__all__} - {*dir(package)})
"""
ALONE = """
import sys
before = {*sys.modules}
import okibi
print(sorted(name for name in {*sys.modules} - before if name.startswith("okibi")))
print(okibi.__version__, okibi.actors.Server.__module__)
"""


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_okibi_exports_the_names_of_a_first_function() -> None:
    assert {*okibi.__all__} == {*LAYERS, *OF_ACTORS, *OF_SUPERVISORS, *OF_RUNTIME, *OF_CACHED}


@pytest.mark.parametrize("name", okibi.__all__)
def test_an_exported_name_is_its_layers_object(name: str) -> None:
    layers = {
        **LAYERS,
        **dict.fromkeys(OF_ACTORS, actors),
        **dict.fromkeys(OF_RUNTIME, runtime),
        **dict.fromkeys(OF_CACHED, cached),
    }
    layer = layers.get(name, supervisors)

    value = getattr(okibi, name)

    assert value is (layer if name in LAYERS else getattr(layer, name))
    assert f"okibi.{name}," in TYPED.read_text("utf-8")


def test_a_star_import_brings_every_exported_name() -> None:
    names: dict[str, object] = {}
    exec("from okibi import *", names)

    assert {*okibi.__all__} <= {*names}


def test_the_version_is_that_of_the_distribution() -> None:
    assert okibi.__version__ == version("okibi")


def test_an_unknown_name_raises_an_attribute_error_with_a_suggestion() -> None:
    with pytest.raises(AttributeError, match=r"^module 'okibi' has no attribute 'Servr'$") as told:
        getattr(okibi, "Servr")  # noqa: B009, hidden from type checkers

    assert (told.value.name, told.value.obj) == ("Servr", okibi)


def test_importing_okibi_imports_none_of_its_layers() -> None:
    assert run(ALONE) == f"['okibi']\n{okibi.__version__} okibi.actors.server\n"


def test_completion_shows_names_before_their_modules_are_imported() -> None:
    assert run(COMPLETED) == "set()\n" * 4
