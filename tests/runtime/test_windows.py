"""Windows: functions can be written and their actors tested, but not served.

Windows is simulated by a process of this system without the modules and functions that Windows
lacks, except those that trio needs here and replaces there.
"""

import subprocess
import sys
from collections.abc import Callable

import pytest

from okibi.bench.options import parse_options as order_of_bench
from okibi.cli.invoke_function import choose_settings
from okibi.local import FunctionSettings, open_local_lambda
from okibi.project.bad_input import BadInput
from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.settings import UNSUPPORTED_SYSTEM, read_settings

WINDOWS = """
import os, select, signal, sys, time
import asyncio, sysconfig, trio, zoneinfo  # Windows has other implementations

KEPT = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}
for name in [name for name in vars(signal) if name.startswith("SIG")]:
    if name not in KEPT:
        delattr(signal, name)
for where, names in {
    os: "confstr eventfd fork geteuid getloadavg getuid killpg register_at_fork sched_getaffinity"
        " sched_yield set_blocking setsid sysconf uname waitid",
    select: "poll",
    signal: "pthread_kill pthread_sigmask setitimer",
    time: "CLOCK_MONOTONIC clock_gettime",
}.items():
    for name in names.split():
        if hasattr(where, name):
            delattr(where, name)
sys.modules.update(dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios")))
sys.platform = "win32"
"""


def on_windows(code: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Run code in a process that simulates Windows.

    Args:
        code: the code.
        before: code to run first, before the simulation begins.
    """
    command = [sys.executable, "-c", before + WINDOWS + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


APP = """
import attrs

from okibi.actors import FREEZES, Name, Server
from okibi.runtime import Context, Function, Handler, Prelude, Response
from okibi.runtime import from_asyncio, streaming
from okibi.supervisors import Child, PartitionedName, PartitionSupervisorSpec
from okibi.supervisors import SupervisorSpec, supervise

@attrs.define(eq=False)
class Visits(Server):
    seen: int = 0

    async def visit(self) -> int:
        self.seen += 1
        return self.seen

VISITS = Name("visits", Visits)

@attrs.define(eq=False)
class Greeter(Handler[dict]):
    async def handle(self, event, context):
        return {"visit": await VISITS.call(Visits.visit)}

function = Function(handler=Greeter, children=[Child(Visits, name=VISITS)])

async def main():
    spread = PartitionedName("spread", Visits)
    children = [*function.children, Child(PartitionSupervisorSpec(Child(Visits)), name=spread.name)]
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec(children))
        print(await VISITS.call(Visits.visit), await spread.at("bob").call(Visits.visit))
        top.stop()

trio.run(main)
"""


@pytest.mark.slow
def test_a_function_can_be_imported_and_its_actors_tested_on_windows() -> None:
    done = on_windows(APP)

    assert (done.stdout, done.stderr) == ("1 1\n", "")


COMMANDS = """
from okibi.cli.__main__ import main

for arguments in (["invoke", "app.function"], ["bench", "app.function"], ["--version"]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as end:
        print(end.code, file=sys.stderr)
"""


@pytest.mark.slow
def test_commands_on_windows_fail_with_one_sentence() -> None:
    imported = "import httpx, rich.console, rich.progress, rich.table, typer"
    done = on_windows(COMMANDS, before=imported)

    assert done.stderr == f"okibi: {UNSUPPORTED_SYSTEM}\n2\n" * 2 + "0\n"


@pytest.mark.parametrize(
    "read",
    [
        lambda: choose_settings("app.function"),
        lambda: order_of_bench("app.function", None),
    ],
)
def test_invoke_and_bench_are_refused_on_windows(
    read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(BadInput, match="on Windows, use WSL"):
        read()


async def test_the_local_lambda_and_the_bootstrap_are_refused_on_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = FunctionSettings("app.function")
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(OSError, match="on Windows, use WSL"):
        async with open_local_lambda(settings):
            pass  # pragma: no cover
    with pytest.raises(InitError, match="on Windows, use WSL"):
        read_settings({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, ["app.function"])
