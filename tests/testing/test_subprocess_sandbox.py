"""`sandbox`: a function in a subprocess, for plain code."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from okibi.local import local_lambda
from okibi.testing import FunctionError, FunctionTimedOut, Sandbox, sandbox
from okibi.testing.subprocess_sandbox import _find_name

CODE = """
import os, time
from okibi import Function
from okibi.web import ASGI

def handler(event, context):
    if event == "bad":
        raise ValueError("no such name")
    if event == "slow":
        time.sleep(60)
    if event == "exit":
        os._exit(3)
    if event == "bytes":
        return b"no json"
    return [os.getpid(), event, os.environ.get("COLOR"), context.memory_limit_in_mb]

function = Function(handler)

async def web(scope, receive, send):
    pass

application = Function(ASGI(web))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("function")
    (folder / "kit_app.py").write_text(CODE)
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(folder))
    yield import_module("kit_app")
    sys.path.remove(str(folder))
    # A worker may come back to this module, with another folder.
    del sys.modules["kit_app"]


def test_a_web_application_is_found_where_it_was_made(app: ModuleType, folder: Path) -> None:
    assert _find_name(app.application) == ("kit_app.application", folder.resolve())
    assert _find_name(app.function) == ("kit_app.function", folder.resolve())


@pytest.mark.slow
def test_a_sandbox_is_invoked_by_plain_code(folder: Path) -> None:
    with sandbox(
        "kit_app.function", task_root=folder, timeout=0.6, memory=256, environment={"COLOR": "red"}
    ) as box:
        pid, *rest = box.invoke({"name": "bob"})
        assert rest == [{"name": "bob"}, "red", "256"]
        assert (pid, box.starts) == (box.pid, 1)
        assert box.invoke("bytes") == b"no json"

        with pytest.raises(FunctionError, match=r"^ValueError: no such name$") as failed:
            box.invoke("bad")
        assert "in handler" in failed.value.stack[-1]
        with pytest.raises(FunctionTimedOut):
            box.invoke("slow")
        assert box.starts == 1

        with pytest.raises(FunctionError, match=r"Runtime.ExitError: .*exit status 3"):
            box.invoke("exit")
        before = box.invoke(b"1")[0]
        box.shut_down()
        assert box.invoke(2)[0] != before
        assert box.starts == 3
        assert any("REPORT" in line for line in box.output)

    with pytest.raises(RuntimeError, match="the sandbox has ended"):
        box.invoke("late")


def test_a_function_stands_for_its_name(app: ModuleType) -> None:
    with sandbox(app.function) as box:
        assert box.invoke(1)[1] == 1


def test_an_object_without_a_name_is_refused() -> None:
    box = sandbox(lambda event, context: None)

    with pytest.raises(ValueError, match=r"give its name, as in sandbox\('app.function'\)"):
        box.__enter__()


def test_a_function_that_cannot_start_says_why(folder: Path) -> None:
    with (
        sandbox("kit_app.missing", task_root=folder) as box,
        pytest.raises(FunctionError, match=r"HandlerNotFound: .*missing"),
    ):
        box.invoke()


def test_a_module_that_is_not_found_fails_with_the_folder_and_the_remedy(tmp_path: Path) -> None:
    with (
        sandbox("kit_app.function", task_root=tmp_path) as box,
        pytest.raises(FunctionError, match="No module named 'kit_app'") as failed,
    ):
        box.invoke()

    (note,) = failed.value.__notes__
    assert str(tmp_path) in note
    assert "sandbox(function)" in note


def test_a_wrong_argument_is_raised_at_once(folder: Path) -> None:
    box = sandbox("kit_app.function", task_root=folder / "none")

    with pytest.raises(ValueError, match="task_root must be an existing folder"):
        box.__enter__()


def test_an_error_of_the_start_is_raised(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_lambda, "is_supported_system", lambda: False)
    box = sandbox("kit_app.function", task_root=folder)

    with pytest.raises(OSError, match="Windows"):
        box.__enter__()


async def test_tests_share_the_sandbox_of_the_fixture(
    lambda_sandbox: Callable[..., Sandbox], folder: Path
) -> None:
    """An async test may block."""
    box = lambda_sandbox("kit_app.handler", task_root=folder)

    assert box is lambda_sandbox("kit_app.handler", task_root=folder)
    assert box.invoke(1)[1] == 1
