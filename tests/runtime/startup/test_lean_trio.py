"""trio is imported without unused modules; each is imported when first used."""

import functools
import inspect
import json
import platform
import subprocess
import sys
import threading
import types
import unittest.mock
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from okibi.runtime.startup.lean_trio import KNOWN, Placeholder, imports_when_used

AS_A_START = """
import json, sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event == "subprocess.Popen" else None)
from okibi.runtime.__main__ import import_okibi
import_okibi()
"""
LEFT_OUT = """
print(json.dumps([started, sorted(sys.modules)]))
"""
A_THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
# Ciphers without certificates.
TLS = """
import ssl, trio, trio.testing
def context(purpose):
    made = ssl.SSLContext(purpose)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return made
async def main():
    ours, theirs = trio.testing.memory_stream_pair()
    client = trio.SSLStream(ours, context(ssl.PROTOCOL_TLS_CLIENT))
    server = trio.SSLStream(theirs, context(ssl.PROTOCOL_TLS_SERVER), server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, b"hello")
        said = (await server.receive_some()).decode()
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"no TLS at all")
    try:
        await trio.SSLStream(ours, context(ssl.PROTOCOL_TLS_CLIENT)).do_handshake()
    except trio.BrokenResourceError as error:
        broken = isinstance(error.__cause__, ssl.SSLError)
    print(json.dumps([said, broken]))
trio.run(main)
"""
NAMES = """
import trio
class Resolver(trio.abc.HostnameResolver):
    async def getaddrinfo(self, host, *_):
        return [host.decode()]
    async def getnameinfo(self, *_): ...
async def main():
    trio.socket.set_custom_hostname_resolver(Resolver())
    print(json.dumps(await trio.socket.getaddrinfo("b\\u00fccher.example", 80)))
trio.run(main)
"""
THREAD_NAMES = """
import trio
def named():
    import threading
    try:
        return open(f"/proc/self/task/{threading.get_native_id()}/comm").read().strip()
    except OSError:
        return ""
async def main():
    print(json.dumps(await trio.to_thread.run_sync(named, thread_name="of the test")))
trio.run(main)
"""


def started(script: str, *, before: str = "") -> list[Any]:
    """Run a script in a process that imported trio as a start does; return its output."""
    command = [sys.executable, "-P", "-c", before + AS_A_START + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_openssl_and_idna_are_imported_when_first_used() -> None:
    (processes, modules), tls, names, thread = started(LEFT_OUT + TLS + NAMES + THREAD_NAMES)

    assert "trio" in modules
    openssl = {"ssl", "_ssl", "hmac", "hashlib", "_hashlib"}
    unused = {"idna", "locale", "platform", "shutil", "tempfile", "typing_extensions"}
    unused |= {"queue", "random", "socket", "selectors", "sortedcontainers"}
    unused |= {"ctypes", "struct"}
    assert not {*openssl, *unused} & {*modules}
    assert processes == [] or sys.platform != "linux"
    assert tls == ["hello", True]
    assert names == ["xn--bcher-kva.example"]
    assert thread == "of the test" or sys.platform != "linux"


@pytest.mark.slow
def test_attrs_knows_the_interpreter_and_has_all_of_platform() -> None:
    script = """
import attr._compat, sys
held = attr._compat.platform
before = "platform" in sys.modules
print(json.dumps([attr._compat.PYPY, before, held.machine(), held.python_implementation()]))
"""
    ((is_pypy, before, machine, name),) = started(script)

    assert (is_pypy, before) == (False, False)
    assert (machine, name) == (platform.machine(), platform.python_implementation())


@pytest.mark.slow
def test_beside_another_thread_trio_is_imported_plainly() -> None:
    ((_, modules),) = started(LEFT_OUT, before=A_THREAD)

    assert {"ssl", "hmac", "idna"} <= set(modules)


SCHEDULER = """
import random, trio, trio.testing
from trio._core import _run
_run._r.seed(1)
drawn = [_run._r.random() for _ in range(3)]
_run._r.seed(1)
_run._r.shuffle([1, 2])
real = random.Random(1)
print(json.dumps([drawn == [real.random() for _ in range(3)], type(_run._r) is random.Random]))
async def main():
    runner = trio._core._run.GLOBAL_RUN_CONTEXT.runner
    async with trio.open_nursery() as nursery:
        for cushion in (0.02, 0.01):
            nursery.start_soon(wait, cushion)
    print(json.dumps([order, type(runner.waiting_for_idle).__module__]))
order = []
async def wait(cushion):
    await trio.testing.wait_all_tasks_blocked(cushion)
    order.append(cushion)
trio.run(main)
"""


def test_the_scheduler_s_random_and_sorted_dict_are_real_when_used() -> None:
    randoms, idle = started(SCHEDULER)

    assert randoms == [True, True]
    assert idle == [[0.01, 0.02], "sortedcontainers.sorteddict"]


HELD = """
from okibi.runtime.startup.lean_trio import Placeholder
import inspect, logging, pickle, queue, random, socket, sortedcontainers
for each in (random.Random(1), queue.Empty(), socket.AF_INET, sortedcontainers.SortedDict(a=1)):
    copy = pickle.loads(pickle.dumps(each))
    assert type(copy) is type(each) and type(copy).__module__ in sys.modules
print(json.dumps([
    f"{module}.{name}"
    for module in sys.modules
    if module.partition(".")[0] in sys.stdlib_module_names
    for name, value in vars(sys.modules[module]).items()
    if isinstance(value, Placeholder)
]))
"""


def test_no_module_of_the_standard_library_holds_a_placeholder() -> None:
    # They use ast and inspect in few functions; dataclasses is imported from Python 3.14 on.
    of_old, of_new = ["inspect.ast"], ["annotationlib.ast", "dataclasses.inspect"]
    assert started(HELD) == [of_new if sys.version_info >= (3, 14) else of_old]


OWN_FILES = """
import sys
sys.path.insert(0, {folder!r})
import inspect, queue, colorsys
print(json.dumps([each.__file__ for each in (inspect, queue, colorsys)]))
print(json.dumps([type(each).__name__ for each in (inspect, queue)]))
from okibi.actors import server
print(json.dumps(server.isdatadescriptor(property())))
"""


def test_late_modules_come_from_the_standard_library(tmp_path: Path) -> None:
    for name in ("inspect", "queue", "dis", "colorsys"):
        (tmp_path / f"{name}.py").write_text("")

    files, kinds, answer = started(OWN_FILES.format(folder=str(tmp_path)))

    # colorsys is not okibi's.
    assert [Path(each).parent == tmp_path for each in files] == [False, False, True]
    assert kinds == ["module", "module"]
    assert answer is True


def plain_function() -> None: ...
async def coroutine_function() -> None: ...
def generator_function() -> Iterator[None]:
    yield


async def async_generator_function() -> AsyncIterator[None]:
    yield


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: object) -> Any:
        return function(*args)

    return wrapper


class Called:
    async def __call__(self) -> None: ...
    async def method(self) -> None: ...


CALLABLES: list[object] = [
    plain_function, coroutine_function, generator_function, async_generator_function,
    *[functools.partial(each) for each in (coroutine_function, async_generator_function)],
    wrapping(coroutine_function), wrapping(generator_function), Called, Called(),
    Called().method, object().__str__,
    types.coroutine(generator_function), unittest.mock.AsyncMock(), unittest.mock.Mock(), len, None,
    lambda: (yield), staticmethod(coroutine_function), property(lambda _: None),
]  # fmt: skip
if hasattr(inspect, "markcoroutinefunction"):
    CALLABLES.append(inspect.markcoroutinefunction(lambda: None))


@pytest.mark.parametrize("name", KNOWN["inspect"])
def test_a_known_name_of_inspect_is_as_the_real_one(name: str) -> None:
    known: Any = KNOWN["inspect"][name]
    real: Any = getattr(inspect, name)

    if not callable(real):
        assert known == real
    elif name != "getcoroutinestate":
        assert [known(each) for each in CALLABLES] == [real(each) for each in CALLABLES]


# -- with modules of the test


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that import one another, unloaded after the test."""
    (tmp_path / "made_later.py").write_text("WORD = 'real'\n")
    (tmp_path / "made_above.py").write_text("import made_later\ndef word(): return made_later.WORD")
    (tmp_path / "made_at_once.py").write_text("from made_later import WORD\nimport made_later")
    (tmp_path / "made_wrong.py").write_text("import made_later\nimport made_nowhere")
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    # pytest's workers have threads.
    monkeypatch.setattr("threading.active_count", lambda: 1)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def import_without(name: str, unneeded: Sequence[str]) -> None:
    with imports_when_used(unneeded):
        __import__(name)


def imported(name: str) -> Any:
    return __import__(name)


def test_an_unused_module_is_not_imported_and_not_in_sys_modules(modules: Path) -> None:
    import_without("made_above", ["made_later"])

    assert "made_later" not in sys.modules
    assert isinstance(imported("made_above").made_later, Placeholder)


def test_the_first_use_imports_the_module_for_everybody(modules: Path) -> None:
    import_without("made_above", ["made_later"])

    assert imported("made_above").word() == "real"
    later = sys.modules["made_later"]
    assert not isinstance(later, Placeholder)
    assert vars(imported("made_above").made_later) == vars(later)


def test_threads_that_use_a_module_first_at_once_wait_for_its_import(modules: Path) -> None:
    import_without("made_above", ["made_later"])
    begun, seen = threading.Event(), list[str]()
    (modules / "made_later.py").write_text("begin()\nWORD = 'real'\n")

    def use() -> None:
        seen.append(imported("made_above").word())

    def begin() -> None:
        other.start()
        assert begun.wait(10)

    def use_next() -> None:
        begun.set()
        use()

    other = threading.Thread(target=use_next)
    with unittest.mock.patch("builtins.begin", begin, create=True):
        use()
        other.join()

    assert seen == ["real", "real"]


def test_a_module_used_during_the_import_is_imported_at_once(modules: Path) -> None:
    import_without("made_at_once", ["made_later"])

    assert imported("made_at_once").WORD == "real"
    assert imported("made_at_once").made_later is sys.modules["made_later"]
    assert not isinstance(sys.modules["made_later"], Placeholder)


def test_an_imported_module_is_not_replaced(modules: Path) -> None:
    later = imported("made_later")

    import_without("made_above", ["made_later"])

    assert sys.modules["made_later"] is later
    assert imported("made_above").made_later is later


def test_a_failed_import_leaves_no_placeholder(modules: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="made_nowhere"):
        import_without("made_wrong", ["made_later"])

    assert "made_later" not in sys.modules


def test_a_missing_attribute_is_an_attribute_error(modules: Path) -> None:
    with pytest.raises(AttributeError, match="module 'made_later' has no attribute 'absent'"):
        _ = Placeholder("made_later").absent


def test_removing_a_placeholder_keeps_another_module(modules: Path) -> None:
    later = imported("made_later")

    Placeholder("made_later").remove_placeholder()

    assert sys.modules["made_later"] is later
