"""A handler string names a Function; each failure has the official client's text."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.function import Function
from okibi.runtime.handlers.handler import Handler
from okibi.runtime.startup import find_function
from okibi.runtime.startup.find_function import as_function, load

BROKEN = """
def inner():
    raise KeyError("missing")

inner()
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A task root whose modules are unloaded after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # The Python that runs the tests may be installed in /opt, where the layers are.
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_file_hidden_by_an_imported_module_is_named(root: Path) -> None:
    (root / "outcome.py").write_text("def handler(event, context): ...")

    with pytest.raises(
        InitError, match="Handler 'handler' missing on module 'outcome': it"
    ) as told:
        load("outcome.handler", str(root))
    assert told.value.message.endswith(f", and hides {root / 'outcome.py'}; rename that")


NOT_ENOUGH = "Bad handler '{}': not enough values to unpack (expected 2, got 1)"
NO_COLON = ", with a dot instead of the colon"


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        (
            "app:function",
            "Runtime.MalformedHandlerName",
            f"{NOT_ENOUGH.format('app:function')}; write app.function{NO_COLON}",
        ),
        (
            "folder/app:function",
            "Runtime.MalformedHandlerName",
            f"{NOT_ENOUGH.format('folder/app:function')}; write folder/app.function{NO_COLON}",
        ),
        (
            "app.py:function",
            "Runtime.HandlerNotFound",
            f"Handler 'py:function' missing on module 'app'; write app.function{NO_COLON}",
        ),
    ],
)
def test_a_handler_with_a_colon_names_the_dot_form(
    handler: str, kind: str, message: str, root: Path
) -> None:
    (root / "app.py").write_text("def function(event, context): ...")

    error = error_of(handler, root)

    assert (error.kind, error.message) == (kind, message)


DEFINES = """
import json
from functools import partial
from typing import Any

import attrs

from okibi import Function, Handler
from okibi.runtime import Context
from os.path import join

Event = dict[str, Any]
LIMIT = 3

@attrs.frozen
class Greeting:
    name: str

class Greeter(Handler[Greeting]):
    async def handle(self, event: Greeting, context: Context) -> str: ...

class Adapter:
    def __call__(self, event, context): ...

def handler(event, context): ...

async def worker(event, context): ...

def _private(event, context): ...

function = Function(handler=Greeter)
adapter = Adapter()
bound = partial(handler, context=None)
"""


def test_an_unknown_handler_lists_the_handlers_of_the_module(root: Path) -> None:
    (root / "defines.py").write_text(DEFINES)

    assert error_of("defines.absent", root).message == (
        "Handler 'absent' missing on module 'defines'"
        "; the module defines Greeter, handler, worker, function, adapter, bound"
    )


def test_an_unknown_handler_lists_at_most_8_handlers(root: Path) -> None:
    many = "".join(f"def handler_{number}(event, context): ...\n" for number in range(11))
    (root / "many.py").write_text(f"def helper(event): ...\n{many}")

    assert error_of("many.absent", root).message == (
        "Handler 'absent' missing on module 'many'; the module defines handler_0, handler_1, "
        "handler_2, handler_3, handler_4, handler_5, handler_6, handler_7 and 4 more"
    )


def test_an_object_that_cannot_be_inspected_does_not_hide_the_error(root: Path) -> None:
    (root / "odd.py").write_text(
        "class Meta(type):\n"
        "    def __getattribute__(cls, name): raise KeyError(name)\n"
        "class Odd(metaclass=Meta):\n"
        "    def __call__(self): ...\n"
        "odd = Odd()\n"
    )

    assert error_of("odd.absent", root).message == "Handler 'absent' missing on module 'odd'"


def test_gevent_s_patch_of_select_is_refused_with_the_cure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gevent = ModuleType("gevent.monkey")
    patched = {"select"}
    gevent.is_module_patched = patched.__contains__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", gevent)
    (root / "patches.py").write_text("def handler(event, context): ...")

    error = error_of("patches.handler", root)
    assert error.kind == "Runtime.MonkeyPatchConflict"
    assert "monkey.patch_all(thread=False, select=False)" in error.message

    patched.clear()
    assert load("patches.handler", str(root))


def test_eventlet_s_patch_of_threading_is_refused_with_the_cure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventlet = ModuleType("eventlet.patcher")
    patched = {"thread"}
    eventlet.is_monkey_patched = patched.__contains__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eventlet.patcher", eventlet)
    (root / "greens.py").write_text("def handler(event, context): ...")

    error = error_of("greens.handler", root)
    assert error.kind == "Runtime.MonkeyPatchConflict"
    assert error.message == (
        "eventlet's monkey_patch() replaces select and threading, which okibi needs: call "
        "monkey_patch(thread=False, select=False)"
    )

    patched.clear()
    assert load("greens.handler", str(root))


def error_of(handler: str, root: Path) -> InitError:
    with pytest.raises(InitError) as caught:
        load(handler, str(root))
    return caught.value


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        (
            "",
            "Runtime.MalformedHandlerName",
            "Bad handler '': not enough values to unpack (expected 2, got 1)",
        ),
        (
            "nodot",
            "Runtime.MalformedHandlerName",
            "Bad handler 'nodot': not enough values to unpack (expected 2, got 1)",
        ),
        (
            "sys.exit",
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module",
        ),
        (
            "absent_1.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'absent_1': No module named 'absent_1'",
        ),
        (
            "imports_absent.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'imports_absent': No module named 'absent_2'",
        ),
        (
            "no_syntax.handler",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'no_syntax': expected ':' (no_syntax.py, line 1)",
        ),
        (
            "fine.absent",
            "Runtime.HandlerNotFound",
            "Handler 'absent' missing on module 'fine'; the module defines handler",
        ),
        (
            "empty.absent",
            "Runtime.HandlerNotFound",
            "Handler 'absent' missing on module 'empty'",
        ),
        ("broken.handler", "KeyError", "'missing'"),
        ("leaves.handler", "SystemExit", "3"),
    ],
)
def test_each_failure_has_the_official_type_and_text(
    handler: str, kind: str, words: str, root: Path
) -> None:
    (root / "fine.py").write_text("def handler(event, context): ...")
    (root / "empty.py").touch()
    (root / "imports_absent.py").write_text("import absent_2")
    (root / "no_syntax.py").write_text("def handler(event)\n    pass")
    (root / "broken.py").write_text(BROKEN)
    (root / "leaves.py").write_text("import sys; sys.exit(3)")

    error = error_of(handler, root)

    assert (error.kind, error.message) == (kind, words)


def test_the_stack_of_an_import_begins_in_the_user_s_file(root: Path) -> None:
    (root / "broken.py").write_text(BROKEN)

    stack = error_of("broken.handler", root).stack

    assert [line.split(", in ")[1].split("\n")[0] for line in stack] == ["<module>", "inner"]
    assert str(root / "broken.py") in stack[0]
    assert 'raise KeyError("missing")' in stack[1]


def test_a_missing_module_has_no_stack(root: Path) -> None:
    (root / "imports_absent.py").write_text("import absent_2")

    assert error_of("absent_1.handler", root).stack == ()
    assert len(error_of("imports_absent.handler", root).stack) > 0


def test_a_syntax_error_s_stack_is_file_line_and_text(root: Path) -> None:
    (root / "no_syntax.py").write_text("def handler(event)\n    pass")

    (line,) = error_of("no_syntax.handler", root).stack

    assert line == f'  File "{root}/no_syntax.py" Line 1\n    def handler(event)\n'


@pytest.mark.parametrize("handler", ["folder/inner.handler", "folder.inner.handler"])
def test_slashes_in_the_module_stand_for_dots(handler: str, root: Path) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "inner.py").write_text("def handler(event, context): return 'found'")

    target = load(handler, str(root)).handler.handler

    assert target({}, None) == "found"  # type: ignore[call-arg]


def test_the_task_root_is_first_on_the_path(root: Path) -> None:
    (root / "fine.py").write_text("handler = print")
    load("fine.handler", str(root))

    assert sys.path[0] == str(root)


def test_the_layers_folders_follow_the_task_root(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, top, none = (str(root / name) for name in ("opt/lib", "opt", "none"))
    (root / "opt/lib").mkdir(parents=True)
    monkeypatch.setattr(find_function, "LAYERS", (packages, top, none))
    (root / "opt/lib/layered.py").write_text("handler = print")

    load("layered.handler", str(root))

    assert sys.path[:3] == [str(root), packages, top]
    assert none not in sys.path


def test_a_module_not_in_the_task_root_is_found_in_the_cwd(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "function").mkdir()
    (root / "function/elsewhere.py").write_text("handler = print")
    monkeypatch.chdir(root / "function")

    load("elsewhere.handler", str(root / "task"))

    assert sys.path[:2] == [str(root / "task"), str(root / "function")]


@pytest.mark.parametrize("holds", ["task", "opt"])
def test_the_cwd_is_not_searched_for_a_module_of_the_task_root(
    holds: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_function, "LAYERS", (str(root / "opt"),))
    for folder in ("task", "opt", "function"):
        (root / folder).mkdir()
    (root / holds / "held.py").write_text("handler = print")
    (root / "function/runtime.py").write_text("")
    monkeypatch.chdir(root / "function")

    load("held.handler", str(root / "task"))

    assert str(root / "function") not in sys.path


def test_a_removed_cwd_leaves_the_task_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "gone").mkdir()
    (root / "fine.py").write_text("handler = print")
    monkeypatch.chdir(root / "gone")
    (root / "gone").rmdir()

    load("fine.handler", str(root))

    assert error_of("absent.handler", root).kind == "Runtime.ImportModuleError"


def test_pth_files_of_the_task_root_and_of_layers_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, vendored = root / "opt", root / "vendored"
    for folder in (layer, vendored):
        folder.mkdir()
    monkeypatch.setattr(find_function, "LAYERS", (str(layer),))
    (vendored / "bundled.py").write_text("handler = print")
    (root / "mine.pth").write_text("vendored\n")
    (layer / "theirs.pth").write_text("import sys; sys.path.append('by the layer')\n")
    (root / "bundles.py").write_text("from bundled import handler")

    load("bundles.handler", str(root))

    assert sys.path[:2] == [str(root), str(layer)]
    assert [str(vendored), "by the layer"] == sys.path[-2:]


def test_a_binary_pth_file_is_skipped(root: Path) -> None:
    (root / "model.pth").write_bytes(b"PK\x03\x04\0\0\x08\x08" + bytes(range(256)))
    (root / "fine.py").write_text("handler = print")

    load("fine.handler", str(root))


def test_a_sys_exit_in_a_pth_file_is_an_init_error(root: Path) -> None:
    (root / "leaves.pth").write_text("import sys; sys.exit(0)\n")
    (root / "fine.py").write_text("handler = print")

    assert error_of("fine.handler", root).kind == "SystemExit"


def test_the_interpreter_s_own_folder_is_not_a_layer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "opt").mkdir()
    monkeypatch.setattr(find_function, "LAYERS", (str(root / "opt"),))
    monkeypatch.setattr(sys, "base_prefix", "/opt/python/3.13")
    (root / "fine.py").write_text("handler = print")

    load("fine.handler", str(root))

    assert str(root / "opt") not in sys.path


def test_the_layers_folders_are_lambda_s() -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert (f"/opt/python/lib/{version}/site-packages", "/opt/python") == find_function.LAYERS


def test_an_error_in_a_module_s_getattr_is_an_init_error(root: Path) -> None:
    (root / "odd.py").write_text("def __getattr__(name):\n    raise RuntimeError(name)")

    error = error_of("odd.handler", root)

    assert (error.kind, error.message) == ("RuntimeError", "handler")


def test_a_handler_that_cannot_be_called_is_an_init_error(root: Path) -> None:
    (root / "fine.py").write_text("handler = 5")

    error = error_of("fine.handler", root)

    assert error.kind == "SpecError"
    assert error.message == "handler must be a Handler class or a callable, got 5"


def test_a_function_a_handler_class_and_a_callable_are_accepted() -> None:
    class Some(Handler[int]):
        async def handle(self, event: int, context: Context) -> object:
            return event

    function = Function(Some)

    assert as_function(function) is function
    assert as_function(Some) == function
    assert as_function(print).handler.handler is print
