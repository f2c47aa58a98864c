"""The log of a crash: the user's frames only, all frames with OKIBI_TRACE=full."""

# A crash is raised by the nursery itself, so its whole block is what raises.
# ruff: noqa: PT012

import contextlib
import importlib.util
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import attr
import attrs
import outcome
import pytest
import trio

import okibi.runtime.bootstrap
from okibi.actors import Actor, Server, Status, logs, start
from okibi.actors.short_traceback import format_exception, is_library_file

APP = """\
import trio
from okibi.actors import Server


class Vase(Server):
    async def drop(self, height):
        self._fall(height)

    def _fall(self, height):
        if height:
            self._fall(height - 1)
        else:
            raise ValueError("broken")

    async def drop_in_tasks(self):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.drop_beside, "rim")
            nursery.start_soon(self.drop_beside, "rim")

    async def drop_beside(self, name):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.slip, name)

    async def slip(self, name):
        await trio.lowlevel.cancel_shielded_checkpoint()
        raise KeyError(name)

    async def mend(self):
        try:
            self._fall(0)
        except ValueError as error:
            raise LookupError("no glue") from error

    async def wait(self):
        await trio.sleep_forever()


async def use(vase, method, *args):
    await vase.call(method, *args)
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[ModuleType]:
    """The user's module, in a file whose lines are known."""
    file = tmp_path / "app.py"
    file.write_text(APP)
    spec = importlib.util.spec_from_file_location("app", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["app"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["app"]


async def log_of(
    caplog: pytest.LogCaptureFixture,
    app: ModuleType,
    method: Callable[..., Any],
    *args: object,
    kind: Callable[[], Any] | None = None,
) -> str:
    """Return the crash as a plain formatter prints it, with `app.py` for the path of the file."""
    with pytest.raises(BaseExceptionGroup):
        async with trio.open_nursery() as nursery:
            vase = await start(nursery, kind or app.Vase, path="/vase")
            nursery.start_soon(app.use, vase, method, *args)
    return printed(caplog, app)


def printed(caplog: pytest.LogCaptureFixture, app: ModuleType) -> str:
    [record] = caplog.records
    text = logging.Formatter("%(levelname)s %(message)s").format(record)
    # Python 3.13 underlines (`~~~^^^`) calls that Python 3.11 does not.
    without_underlines = re.sub(r"^[ |]+[~^]+\n", "", text, flags=re.MULTILINE)
    return without_underlines.replace(str(app.__file__), "app.py")


async def test_a_crash_log_shows_the_users_frames_only(
    caplog: pytest.LogCaptureFixture, app: ModuleType
) -> None:
    assert (
        await log_of(caplog, app, app.Vase.drop, 1)
        == """\
ERROR /vase (incarnation 1) ended: crashed (ValueError: broken), while handling drop(int)
  app.use waited for the reply at:
    File "app.py", line 39, in use
      await vase.call(method, *args)
Traceback (most recent call last):
  File "app.py", line 7, in drop
    self._fall(height)
  File "app.py", line 11, in _fall
    self._fall(height - 1)
  File "app.py", line 13, in _fall
    raise ValueError("broken")
ValueError: broken
OKIBI_TRACE=full shows all frames"""
    )


async def test_the_variable_asks_for_all_frames(
    caplog: pytest.LogCaptureFixture, app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKIBI_TRACE", "full")
    text = await log_of(caplog, app, app.Vase.drop, 60)

    files = [line.split('"')[1] for line in text.splitlines() if line.lstrip().startswith("File ")]
    names = {os.path.basename(file) for file in files}
    assert {"app.py", "process.py", "server.py", "_traps.py", "request.py"} <= names
    assert text.count("self._fall(height - 1)") == 3
    assert "[Previous line repeated 57 more times]" in text
    assert text.endswith('    raise ValueError("broken")\nValueError: broken')


async def test_a_traceback_has_at_most_20_frames(
    caplog: pytest.LogCaptureFixture, app: ModuleType
) -> None:
    text = await log_of(caplog, app, app.Vase.drop, 60)

    fall = '  File "app.py", line 11, in _fall\n    self._fall(height - 1)\n'
    assert text.partition("Traceback ")[2] == (
        "(most recent call last):\n"
        '  File "app.py", line 7, in drop\n    self._fall(height)\n'
        + fall
        * 3
        + "  [Previous line repeated 6 more times]\n"
        "  ... 42 frames left out\n" + fall * 3 + "  [Previous line repeated 6 more times]\n"
        '  File "app.py", line 13, in _fall\n    raise ValueError("broken")\n'
        "ValueError: broken\n"
        "OKIBI_TRACE=full shows all frames"
    )


async def test_a_group_of_one_exception_is_printed_as_the_exception(
    caplog: pytest.LogCaptureFixture, app: ModuleType
) -> None:
    text = await log_of(caplog, app, app.Vase.drop_in_tasks)

    assert (
        text.partition("  + ")[2]
        == """\
Exception Group Traceback (most recent call last):
  |   File "app.py", line 16, in drop_in_tasks
  |     async with trio.open_nursery() as nursery:
  | ExceptionGroup: Exceptions from Trio nursery (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "app.py", line 21, in drop_beside
    |     async with trio.open_nursery() as nursery:
    |   File "app.py", line 26, in slip
    |     raise KeyError(name)
    | KeyError: 'rim'
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "app.py", line 21, in drop_beside
    |     async with trio.open_nursery() as nursery:
    |   File "app.py", line 26, in slip
    |     raise KeyError(name)
    | KeyError: 'rim'
    +------------------------------------
OKIBI_TRACE=full shows all frames"""
    )


async def test_each_exception_of_a_chain_shows_its_own_frames(
    caplog: pytest.LogCaptureFixture, app: ModuleType
) -> None:
    text = await log_of(caplog, app, app.Vase.mend)

    assert (
        text[text.index("Traceback ") :]
        == """\
Traceback (most recent call last):
  File "app.py", line 30, in mend
    self._fall(0)
  File "app.py", line 13, in _fall
    raise ValueError("broken")
ValueError: broken

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "app.py", line 32, in mend
    raise LookupError("no glue") from error
LookupError: no glue
OKIBI_TRACE=full shows all frames"""
    )


async def test_a_bug_in_okibi_shows_all_frames(caplog: pytest.LogCaptureFixture) -> None:
    class WithoutRun(Actor): ...

    with pytest.raises(ExceptionGroup):
        async with trio.open_nursery() as nursery:
            await start(nursery, WithoutRun)

    text = logging.Formatter().format(caplog.records[0])
    assert [line.split(", in ")[1] for line in text.splitlines() if ", in " in line] == [
        "_run",
        "live",
        "run",
    ]
    assert text.endswith("\nNotImplementedError: WithoutRun needs a `run`")


def test_a_bug_in_okibi_that_ends_in_the_standard_library_shows_all_frames() -> None:
    file = os.path.join(os.path.dirname(logs.__file__), "mailbox.py")
    scope: dict[str, Any] = {"json": json}
    exec(compile("def parse():\n    json.loads('{')", file, "exec"), scope)
    error = error_of(scope["parse"])
    assert error.__traceback__ is not None

    pieces, left_out = format_exception(error, error.__traceback__.tb_next)

    assert f'File "{file}", line 2, in parse' in "".join(pieces)
    assert not left_out


async def test_a_redacted_reason_shows_the_users_frames_without_the_message(
    caplog: pytest.LogCaptureFixture, app: ModuleType
) -> None:
    def redact(_: Server, status: Status) -> Status:
        return attrs.evolve(status, reason="hidden" if status.reason else None)

    redacting = type("Redacting", (app.Vase,), {"format_status": redact})
    text = await log_of(caplog, app, app.Vase.drop, 0, kind=redacting)

    assert (
        text
        == """\
ERROR /vase (incarnation 1) ended: hidden, while handling drop(int)
  app.use waited for the reply at:
    File "app.py", line 39, in use
      await vase.call(method, *args)
  File "app.py", line 7, in drop
    self._fall(height)
  File "app.py", line 13, in _fall
    raise ValueError("broken")
OKIBI_TRACE=full shows all frames"""
    )


async def test_the_report_of_a_kill_shows_the_clients_own_frames(
    caplog: pytest.LogCaptureFixture, app: ModuleType
) -> None:
    with pytest.raises(BaseExceptionGroup):
        async with trio.open_nursery() as nursery:
            vase = await start(nursery, app.Vase, path="/vase")
            nursery.start_soon(app.use, vase, app.Vase.wait)
            await trio.testing.wait_all_tasks_blocked()
            vase.kill()

    assert (
        printed(caplog, app)
        == """\
WARNING /vase (incarnation 1) ended: killed, while handling wait()
  app.use waited for the reply at:
    File "app.py", line 39, in use
      await vase.call(method, *args)
OKIBI_TRACE=full shows all frames"""
    )


def error_of(raises: Callable[[], object]) -> Exception:
    try:
        raises()
    except Exception as error:
        return error
    raise AssertionError


def text_of(error: Exception) -> str:
    return "".join(format_exception(error, error.__traceback__)[0])


def test_a_group_with_a_note_or_a_second_chain_is_printed_whole() -> None:
    noted = ExceptionGroup("noted", [ValueError("no")])
    noted.add_note("a note")
    member = ValueError("no")
    member.__cause__ = KeyError("the member's")
    chained = ExceptionGroup("chained", [member])
    chained.__cause__ = KeyError("the group's")

    for group in (noted, chained):
        assert f"{group.message} (1 sub-exception)" in text_of(error_of(raising(group)))


def test_a_group_of_one_exception_keeps_the_cause_of_the_group() -> None:
    group = ExceptionGroup("a group", [ValueError("no")])
    group.__cause__ = KeyError("why")

    text = text_of(error_of(raising(group)))

    assert text.startswith("KeyError: 'why'\n\nThe above exception was the direct cause")
    assert text.endswith("    raise error\nValueError: no\n")


def test_a_group_of_one_exception_keeps_the_cause_of_the_exception() -> None:
    member = ValueError("no")
    member.__cause__ = KeyError("why")

    text = text_of(error_of(raising(ExceptionGroup("a group", [member]))))

    assert text.startswith("KeyError: 'why'\n\nThe above exception was the direct cause")
    assert text.endswith("    raise error\nValueError: no\n")


def raising(error: Exception) -> Callable[[], object]:
    def raises() -> object:
        raise error

    return raises


def test_other_loggers_print_exceptions_as_python_does(caplog: pytest.LogCaptureFixture) -> None:
    error = error_of(lambda: trio.Path(b""))  # type: ignore[arg-type]
    logging.getLogger("app").error("failed", exc_info=error)
    own = logs.exception_text((type(error), error, error.__traceback__))

    assert logging.Formatter().format(caplog.records[0]) == f"failed\n{own}"
    assert logs.TRACE_HINT not in own


SITE = os.path.dirname(os.path.dirname(trio.__file__))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (okibi.__file__, True),
        (okibi.runtime.bootstrap.__file__, True),
        (trio.__file__, True),
        (outcome.__file__, True),
        (attrs.__file__, True),
        (attr.__file__, True),
        (contextlib.__file__, True),
        ("<attrs generated init app.Vase>", True),
        (os.path.join(SITE, "ours", "app.py"), False),
        (os.path.join(SITE, "trio_ours", "app.py"), False),
        (pytest.__file__, False),
        (logging.__file__, False),
        (__file__, False),
        ("/var/task/app.py", False),
        ("<string>", False),
    ],
)
def test_a_file_of_a_dependency_lies_in_the_folder_of_its_package(
    file: str, expected: bool
) -> None:
    assert is_library_file(file) is expected
