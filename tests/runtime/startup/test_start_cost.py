"""The imports of a production start are limited: every cold start pays for them."""

import functools
import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from okibi.runtime.__main__ import start
from okibi.runtime.codec.import_msgspec import NEEDED
from okibi.runtime.startup.lean_trio import LIBRARY_FIRST
from tests.support.sandbox import running

COUNT = """
import gc, json, sys, trio
import okibi.runtime.bootstrap
searches = sum(each["collections"] for each in gc.get_stats())
found = [value for name, module in sys.modules.items() if name.partition(".")[0] == "okibi"
         for value in vars(module).values() if "__attrs_attrs__" in getattr(value, "__dict__", ())]
made = {str(each) for each in found if each.__module__.partition(".")[0] == "okibi"}
print(json.dumps([sorted(made), sorted(sys.modules), searches]))
"""
LATE = {
    "httpx",
    "msgspec",
    "typer",
    "asyncio",
    "email",
    "http",
    "h11",
    "okibi.local",
    "okibi.asyncio_loop",
    "okibi.resource",
    "okibi.actors.loops",
    "okibi.supervisors.application",
    "okibi.runtime.logs.json_format",
    "okibi.runtime.codec.reference_json",
    "okibi.runtime.handlers.response",
    "okibi.runtime.serving.snapstart",
    "okibi.runtime.handlers.streaming_handlers",
    "okibi.runtime.process_end.forked_child",
    "okibi.supervisors.admin",
    "okibi.supervisors.backoff",
    "okibi.supervisors.dynamic",
    "okibi.supervisors.snapshots",
    "okibi.actors.crash_report",
    "okibi.actors.mailbox_statistics",
    "okibi.actors.pending",
}
# All modules that a start imports besides okibi's, trio's, attrs', msgspec's and httptools'.
ONLY_OKIBI_S = {
    "_bisect",
    "_json",
    "binascii",
    "bisect",
    "errno",
    "faulthandler",
    "json",
    "json.decoder",
    "json.encoder",
}
ONLY_OKIBI_S |= {"json.scanner"}
# attrs asks for the signature of a converter, if the image has no recipe of the class.
ONLY_OKIBI_S |= {"inspect", "dis", "opcode", "_opcode", "ast", "_ast"}
# What inspect imports from Python 3.13 on, where traceback has not imported it already.
ONLY_OKIBI_S |= {"_opcode_metadata", "_tokenize", "token", "tokenize"}
DEPENDENCIES = """
import json, sys
from okibi.runtime.startup.lean_trio import import_trio, imports_when_used
import_trio()
import httptools
before = set(sys.modules) - {"json", "json.decoder", "json.encoder", "json.scanner", "_json"}
with imports_when_used():
    import okibi.runtime.bootstrap
print(json.dumps(sorted(set(sys.modules) - before)))
"""
# A module that is imported late is searched for in the user's folder first. An adapter is imported
# for a web framework, which has imported `http` and `urllib` itself.
ALL_MODULES = """
import importlib, json, pkgutil, sys
ASYNCIO_S = {"asyncio_handlers", "asyncio_response", "leftover_tasks"}
from okibi.runtime.__main__ import import_okibi
import_okibi()
before = set(sys.modules)
import okibi.actors, okibi.supervisors
for layer in (okibi.actors, okibi.supervisors, okibi.runtime):
    for found in pkgutil.walk_packages(layer.__path__, layer.__name__ + "."):
        if found.name.startswith("okibi.runtime.adapters"):
            continue
        if not found.name.endswith("__main__") and found.name.rpartition(".")[2] not in ASYNCIO_S:
            importlib.import_module(found.name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
HANDLER = """
import gc, sys
searches = sum(each["collections"] for each in gc.get_stats())
seen = [gc.isenabled(), gc.get_freeze_count(), searches]
def handler(event, context):
    return [*seen, [*sys.modules]]
"""


@functools.cache
def imported() -> tuple[list[str], set[str], int]:
    """The attrs classes that a start makes, the modules it imports, and how often the collector
    would look through them.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", COUNT], capture_output=True, text=True, check=True
    )
    made, modules, searches = json.loads(done.stdout)
    return made, set(modules), searches


def test_a_start_builds_9_attrs_classes_and_imports_no_late_module() -> None:
    made, modules, _ = imported()

    assert len(made) <= 9, made
    assert not modules & LATE


def test_a_start_imports_only_json_and_faulthandler_for_okibi() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", DEPENDENCIES], capture_output=True, text=True, check=True
    )
    modules = {name for name in json.loads(done.stdout) if name.partition(".")[0] != "okibi"}

    assert modules <= ONLY_OKIBI_S


def test_a_late_module_imports_only_modules_of_okibi() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", ALL_MODULES], capture_output=True, text=True, check=True
    )
    late = json.loads(done.stdout)

    assert {
        "okibi.runtime.codec.reference_json",
        "okibi.runtime.logs.json_format",
        "okibi.supervisors.tasks",
    } <= set(late)
    # `import_if_shadowed` imports what msgspec needs if the user has a file of such a name.
    msgspec_s = NEEDED | {"_datetime", "_decimal", "_uuid"}
    # `inspect.signature` parses the signature of a converter in C.
    library = LIBRARY_FIRST | {"ast", "_ast"}
    assert {name.partition(".")[0] for name in late} - msgspec_s - library == {"okibi"}


async def test_the_garbage_collector_is_off_during_okibi_s_imports(
    tmp_path: Path,
) -> None:
    _, _, elsewhere = imported()
    enabled, frozen, searches, modules = await seen(tmp_path)

    assert enabled
    assert frozen > 20_000
    assert searches < elsewhere / 2
    # Connecting to a numeric address needs no idna.
    assert "okibi.runtime.serving.extension" in modules
    assert "encodings.idna" not in modules


@pytest.mark.slow
async def test_with_many_events_the_collector_runs_during_the_imports(
    tmp_path: Path,
) -> None:
    _, _, elsewhere = imported()
    enabled, frozen, searches, _ = await seen(tmp_path, max_concurrency=2)

    assert enabled
    assert frozen > 20_000
    assert searches > elsewhere / 2


def test_calls_at_any_depth_take_no_new_memory_for_their_frames() -> None:
    def most_faults() -> int:
        return max(map(faults_of_calls, range(300)))

    with ThreadPoolExecutor(1) as thread:
        # From 3.14 on, Python keeps one empty piece itself.
        assert sys.version_info >= (3, 14) or thread.submit(most_faults).result() >= 100
    size = start.__code__.co_stacksize
    most_faults.__code__ = most_faults.__code__.replace(co_stacksize=size)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(most_faults).result() < 100


def faults_of_calls(depth: int) -> int:
    """The page faults of 100 calls on top of so many others."""
    if depth > 0:
        return faults_of_calls(depth - 1)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(100):
        do_nothing()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def do_nothing() -> None:
    """Need a frame."""


async def seen(
    folder: Path, max_concurrency: int | None = None
) -> tuple[bool, int, int, list[str]]:
    """The collector's state as the user's module begins, and the modules at the first event."""
    (folder / "app.py").write_text(HANDLER)
    async with running("app.handler", task_root=folder, max_concurrency=max_concurrency) as sandbox:
        enabled, frozen, searches, modules = await sandbox.ask()
    return enabled, frozen, searches, modules
