"""`import trio` without what a start does not need: used, it comes, and is itself."""

import ctypes.util
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from okibi.runtime.startup import lean_trio
from okibi.runtime.startup.lean_trio import Placeholder, import_trio, import_without

AS_A_START = """
import json, sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event == "subprocess.Popen" else None)
import okibi.runtime.__main__
"""
LEFT_OUT = """
print(json.dumps([started, sorted(sys.modules)]))
"""
A_THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
# Of those ciphers neither side has a certificate.
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
    """The lines that a script prints, in a process that has imported trio as a start does."""
    command = [sys.executable, "-P", "-c", before + AS_A_START + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_start_lacks_openssl_and_the_table_of_names_until_they_are_used() -> None:
    (processes, modules), tls, names, thread = started(LEFT_OUT + TLS + NAMES + THREAD_NAMES)

    assert "trio" in modules
    openssl = {"ssl", "_ssl", "hmac", "hashlib", "_hashlib"}
    assert not {*openssl, "idna", "locale", "shutil", "tempfile", "typing_extensions"} & set(
        modules
    )
    assert processes == [] or sys.platform != "linux"
    assert tls == ["hello", True]
    assert names == ["xn--bcher-kva.example"]
    assert thread == "of the test" or sys.platform != "linux"


def test_beside_a_thread_that_may_import_too_trio_is_imported_as_ever() -> None:
    ((_, modules),) = started(LEFT_OUT, before=A_THREAD)

    assert {"ssl", "hmac", "idna"} <= set(modules)


# -- in modules made for it


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that import one another; of none is anything left."""
    (tmp_path / "made_later.py").write_text("WORD = 'real'\n")
    (tmp_path / "made_above.py").write_text("import made_later\ndef word(): return made_later.WORD")
    (tmp_path / "made_at_once.py").write_text("from made_later import WORD\nimport made_later")
    (tmp_path / "made_wrong.py").write_text("import made_later\nimport made_nowhere")
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def imported(name: str) -> Any:
    return __import__(name)


def test_what_is_not_used_is_not_imported_and_its_place_is_empty(modules: Path) -> None:
    import_without("made_above", ["made_later"])

    assert "made_later" not in sys.modules
    assert isinstance(imported("made_above").made_later, Placeholder)


def test_it_comes_when_it_is_used_and_is_what_everybody_imports(modules: Path) -> None:
    import_without("made_above", ["made_later"])

    assert imported("made_above").word() == "real"
    later = sys.modules["made_later"]
    assert not isinstance(later, Placeholder)
    assert vars(imported("made_above").made_later) == vars(later)


def test_what_is_used_at_once_is_there_at_once(modules: Path) -> None:
    import_without("made_at_once", ["made_later"])

    assert imported("made_at_once").WORD == "real"
    assert imported("made_at_once").made_later is sys.modules["made_later"]
    assert not isinstance(sys.modules["made_later"], Placeholder)


def test_what_is_there_already_stays(modules: Path) -> None:
    later = imported("made_later")

    import_without("made_above", ["made_later"])

    assert sys.modules["made_later"] is later
    assert imported("made_above").made_later is later


def test_after_an_import_that_fails_nothing_stands_in(modules: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="made_nowhere"):
        import_without("made_wrong", ["made_later"])

    assert "made_later" not in sys.modules


def test_what_its_module_has_not_it_has_not(modules: Path) -> None:
    with pytest.raises(AttributeError, match="module 'made_later' has no attribute 'absent'"):
        _ = Placeholder("made_later").absent


def test_it_does_not_take_another_s_place_away(modules: Path) -> None:
    later = imported("made_later")

    Placeholder("made_later").step_aside()

    assert sys.modules["made_later"] is later


# -- the C library


MUSL = """
import errno, os
def musl_s(_):
    raise OSError(errno.EINVAL, "Invalid argument")
os.confstr = musl_s
"""


@pytest.mark.skipif(sys.platform != "linux", reason="musl is Linux's")
def test_a_start_by_musl_starts_no_process_to_find_what_is_not_there() -> None:
    ((processes, modules),) = started(LEFT_OUT, before=MUSL)

    assert processes == []
    assert not {"shutil", "tempfile"} & set(modules)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ctypes finds all by itself")
def test_while_trio_is_imported_alone_ctypes_knows_where_threads_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = ctypes.util.find_library
    seen: list[object] = []

    def importing(module: str, _: object) -> None:
        if module == "trio":
            seen.extend(map(ctypes.util.find_library, ("pthread", "nowhere to be found")))
            raise ImportError(module)

    monkeypatch.setattr(lean_trio, "import_without", importing)
    monkeypatch.setattr("threading.active_count", lambda: 1)
    with pytest.raises(ImportError, match="trio"):
        import_trio()

    known = "libpthread.so.0" if platform.libc_ver()[0] == "glibc" else None
    assert seen == [known, None]
    assert ctypes.util.find_library is find
