"""Every private name of another library that okibi uses has a fall-back and a test.

A name that a class of okibi has too (`_deadline`) is not found by this test.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [file for layer in ("okibi",) for file in sorted((ROOT / layer).rglob("*.py"))]
# Private by spelling only: documented.
DOCUMENTED = {"_asdict", "_current_frames", "_exit", "_getframe", "_name_"}
UNKNOWN_RELEASE = (
    "tests/actors/test_trio_internals.py: a release without a private name is not used"
)
# The name, and the test of its fall-back. A new name needs a fall-back, a test, and a line here.
FALL_BACKS = {
    # trio's
    **dict.fromkeys(
        (
            "_abort_func", "_attempt_delivery_of_any_pending_cancel", "_cancel_called",
            "_cancel_points", "_cancel_status", "_core", "_epoll", "_next_send_fn",
            "_registered_deadline", "_schedule_points", "_traps",
        ),
        UNKNOWN_RELEASE,
    ),
    "_threads": "tests/actors/test_trio_internals.py",
    # asyncio's
    **dict.fromkeys(
        ("_ready", "_run_until_complete_cb"), "tests/asyncio_loop/test_loop.py"
    ),
    # attrs', and CPython's that attrs calls: without them, attrs makes the class.
    **dict.fromkeys(
        (
            "_attr_names", "_attrs", "_base_names", "_clear_type_descriptors", "_cls_dict",
            "_make_getstate_setstate", "_validator",
        ),
        "tests/runtime/startup/test_class_recipes.py",
    ),
    # CPython's
    "_random": "tests/runtime/startup/test_lean_trio.py",
    "_sre": "tests/runtime/startup/test_pattern_cache.py",
    "_cache": "tests/runtime/startup/test_pattern_cache.py",
    "_imp": "tests/runtime/startup/test_start_image.py",
    "_fix_co_filename": "tests/runtime/startup/test_library_finder.py",
    # Imported when each Python starts; `importlib.machinery` is not.
    "_frozen_importlib": "tests/packaging/test_recording.py",
    "_frozen_importlib_external": "tests/runtime/startup/test_library_finder.py",
    # The Sentry SDK's
    "_make_request_event_processor": "tests/telemetry/test_sentry.py",
    # os.environ's
    "_data": "tests/runtime/logs/test_xray_variable.py",
}  # fmt: skip

# The kinds of nodes that define, read, import or pass a name.
ASKED = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Name, ast.Attribute, ast.Assign,
    ast.Call, ast.keyword, ast.ImportFrom, ast.Import,
)  # fmt: skip


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def names_of_okibi(nodes: Iterable[ast.AST]) -> set[str]:
    """Return every name that a file of okibi defines."""
    own: set[str] = set()
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                own.add(name)
            case ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=slots):
                own |= {str(e.value) for e in ast.walk(slots) if isinstance(e, ast.Constant)}
            case _:
                pass
    return own


def names_read(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield every private name that a file reads, imports or passes."""
    for node in nodes:
        names: list[str] = []
        match node:
            case ast.Attribute(attr=name):
                names = [name]
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                names = [name]
            case ast.keyword(arg=str(name)):
                names = [name]
            case ast.ImportFrom(level=0, module=str(name)):
                names = name.split(".")
            case ast.Import(names=aliases):
                names = [part for alias in aliases for part in alias.name.split(".")]
            case _:
                pass
        yield from filter(is_private, names)


@pytest.mark.slow
def test_every_private_name_of_another_library_has_a_fall_back() -> None:
    own, read = set(DOCUMENTED), dict[str, set[str]]()
    for file in FILES:
        # One walk, and one file at a time: a walk costs more than the questions.
        nodes = [n for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ASKED)]
        own |= names_of_okibi(nodes)
        read[str(file.relative_to(ROOT))] = {*names_read(nodes)}
    found: dict[str, set[str]] = defaultdict(set)
    for file_name, names in read.items():
        for name in names - own:
            found[name].add(file_name)

    assert {name: files for name, files in found.items() if name not in FALL_BACKS} == {}
    assert FALL_BACKS.keys() - found.keys() == set()
