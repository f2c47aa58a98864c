"""trio has all of its public names, although most of its submodules are imported when used."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from okibi.runtime.startup.late_trio import LATE, import_late

ROOT = Path(__file__).resolve().parents[3]
LEAN = """
from okibi.runtime.__main__ import import_okibi
import_okibi()
"""
LOADED = """
import json, sys
print(json.dumps(sorted(name for name in sys.modules if name.partition(".")[0] == "trio")))
"""
# The public names of trio's modules, each with what a user sees of it.
NAMES = """
import json, trio
# Before their own names are used.
send, receive = trio.open_memory_channel(0)
found = {"types": [str(type(value)) for value in (send, receive, trio.Path("x"))]}
for module in (trio, trio.abc, trio.from_thread, trio.lowlevel, trio.socket, trio.to_thread):
    for name in dir(module):
        if not name.startswith("_"):
            value = getattr(module, name)
            seen = (type(value).__name__, getattr(value, "__module__", None),
                    getattr(value, "__qualname__", None))
            found[module.__name__ + "." + name] = seen
# Where trio itself has it. The public name was used before.
found["private"] = trio._core.UnboundedQueue.__module__
names = {}
exec("from trio import *", names)
found["*"] = sorted(name for name in names if not name.startswith("_"))
print(json.dumps(found))
"""
USES = """
import json, pickle, trio
async def echo(stream):
    async with stream:
        await stream.send_all(await stream.receive_some())
async def main():
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo, listeners)
        port = listeners[0].socket.getsockname()[1]
        stream = await trio.open_tcp_stream("localhost", port)
        await stream.send_all(b"over TCP")
        said = [(await stream.receive_some()).decode()]
        done = await trio.run_process(["echo", "a process"], capture_stdout=True)
        said.append(done.stdout.decode().strip())
        said.append(await trio.Path("/dev/null").read_text())
        async with await trio.open_file("/dev/null") as file:
            said.append(await file.read())
        sender, receiver = trio.open_memory_channel(1)
        await sender.send("a channel")
        said.append(await receiver.receive())
        with trio.open_signal_receiver(10):
            pass
        nursery.cancel_scope.cancel()
    assert pickle.loads(pickle.dumps(trio.SocketStream)) is trio.SocketStream
    print(json.dumps(said))
trio.run(main)
import trio.testing
"""


def run(script: str, path: Sequence[Path] = (), said: str = "") -> Any:
    """Run a script in a process that says something on stderr; return its output."""
    program = "".join(f"import sys\nsys.path.insert(0, {str(each)!r})\n" for each in path) + script
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    return json.loads(done.stdout)


def test_a_start_imports_none_of_the_late_submodules() -> None:
    assert not {f"trio.{name}" for name in LATE} & {*run(LEAN + LOADED)}


@pytest.mark.slow
def test_every_public_name_is_as_after_a_plain_import() -> None:
    plain, lean = run(NAMES), run(LEAN + NAMES)

    assert len(plain) > 150
    assert lean == plain


@pytest.mark.slow
def test_sockets_processes_files_channels_and_signals_work() -> None:
    assert run(LEAN + USES) == ["over TCP", "a process", "", "", "a channel"]


# -- with a trio of the test


BEFORE = """
import json, sys
from okibi.runtime.startup.late_trio import StandIn
from okibi.runtime.startup.lean_trio import import_trio
import_trio()
trio = sys.modules["trio"]
stand_ins = [name for name, module in sys.modules.items() if isinstance(module, StandIn)]
"""


@pytest.fixture
def other_trio(tmp_path: Path) -> Path:
    """A small trio in place of the real one."""
    package = tmp_path / "trio"
    package.mkdir()
    (package / "_util.py").write_text("def fixup_module_metadata(module, names): pass\n")
    (package / "_path.py").write_text("class Path: pass\n")
    (package / "__init__.py").write_text("from . import _util\nfrom ._path import Path\n")
    return package


def seen(package: Path, expression: str, said: str = "") -> Any:
    """Import a trio of the test, and return what an expression has then."""
    return run(f"{BEFORE}print(json.dumps({expression}))\n", [package.parent], said)


def test_the_first_use_imports_a_submodule(other_trio: Path) -> None:
    before = '["trio._path" in sys.modules, "Path" in dir(trio), "Path" in vars(trio)]'
    after = '[trio.Path is sys.modules["trio._path"].Path, "Path" in vars(trio)]'

    assert seen(other_trio, f"[{before}, {after}]") == [[False, True, False], [True, True]]


def test_an_unknown_name_is_an_attribute_error(other_trio: Path) -> None:
    assert seen(other_trio, 'getattr(trio, "Paht", None)') is None


def test_a_getattr_of_trio_s_own_still_answers(other_trio: Path) -> None:
    with (other_trio / "__init__.py").open("a") as file:
        file.write("def __getattr__(name): return name.upper()\n")

    assert seen(other_trio, "[trio.deprecated, trio.Path.__name__]") == ["DEPRECATED", "Path"]


@pytest.mark.parametrize(
    "source",
    [
        # Another module than those that collect names has one.
        "from ._path import Path\ndef make(): return Path()\n",
        # A name is used during the import.
        "from . import _path\nclass Own(_path.Path): pass\n",
    ],
)
def test_a_release_that_needs_a_late_submodule_is_imported_plainly(
    source: str, other_trio: Path
) -> None:
    (other_trio / "_new.py").write_text(source)
    with (other_trio / "__init__.py").open("a") as file:
        file.write("from . import _new\n")

    said = "okibi: trio is imported plainly: "
    assert seen(other_trio, '["Path" in vars(trio), stand_ins]', said) == [True, []]


def test_a_trio_that_is_imported_stays() -> None:
    before = {**sys.modules}

    import_late(lambda: __import__("trio"))

    assert before == sys.modules
