"""A runtime with many events at once on its own server: AWS's emulator, or the local one.

The emulator takes no command in this mode: it runs /var/task/bootstrap as another user. Therefore
it runs in a mount namespace with a new /var, which contains the interpreter, the packages and the
function. Nothing of it remains, and the machine's own /var/task is not touched.
"""

import os
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import trio

from okibi.local import FunctionSettings, open_local_lambda
from okibi.local.sandbox.processes import cpu_seconds, descendants, proportional_memory, tree_memory
from tests.support.emulator import free_ports, wait_for
from tests.support.sandbox import FUNCTIONS, ROOT, is_gone

ENDS_WITHIN = 5.0


@attrs.frozen
class ManagedContender:
    """A runtime with a handler.

    Args:
        name: the name in tables.
        arguments: the interpreter's arguments; the handler follows.
        handler: `module.name`, in `functions/`.
    """

    name: str
    arguments: tuple[str, ...]
    handler: str


@attrs.frozen
class RunningContender:
    """A running contender.

    Attributes:
        address: the address for POSTs of events.
        pid: the server's process, whose descendants are the runtime.
    """

    address: tuple[str, int]
    pid: int

    def processes(self) -> list[int]:
        """Return the runtime's processes."""
        return descendants(self.pid)

    def memory(self) -> int:
        """Return the memory of all of them in bytes, with shared pages divided (PSS)."""
        return sum(proportional_memory(pid) for pid in self.processes())

    def memory_alone(self) -> int:
        """Return the memory of all of them as if alone on the machine, as in a sandbox."""
        # The runtime's first process is the ancestor of the others.
        return max(map(tree_memory, self.processes()))

    def cpu(self) -> float:
        """Return their processor seconds."""
        return sum(cpu_seconds(pid) for pid in self.processes())


@contextmanager
def on_local_server(
    contender: ManagedContender, slots: int, folder: Path
) -> Generator[RunningContender]:
    """Run the contender on okibi's local server, as a process."""
    invoke, _ = free_ports()
    path = os.pathsep.join(map(str, (ROOT, sysconfig.get_path("purelib"))))
    bootstrap = _bootstrap(folder, sys.executable, contender, path, folder)
    told = [str(invoke), str(slots), str(bootstrap)]
    command = [sys.executable, "-m", "tests.endurance.managed", *told]
    with _serving(command, ROOT, {**os.environ}, (invoke,), folder) as managed:
        yield managed


@contextmanager
def on_emulator(
    executable: Path, contender: ManagedContender, slots: int, folder: Path
) -> Generator[RunningContender]:
    """Run the contender on AWS's emulator. Needs root, and an empty `many_refused`."""
    ports = free_ports()
    inside = {
        "/var/python": Path(sys.base_prefix),
        "/var/site": Path(sysconfig.get_path("purelib")),
        "/var/okibi": ROOT,
        "/var/bytecode": folder,
    }
    python = f"/var/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    path = "/var/okibi:/var/site"
    bootstrap = _bootstrap(folder, python, contender, path, Path("/var/bytecode"))
    mounts = [
        f"mkdir {there} && mount --bind {shlex.quote(str(here))} {there}"
        for there, here in inside.items()
    ]
    mounts += [
        "mkdir /var/task && cd /var/task && chmod 755 /var /var/task",
        f"cp {shlex.quote(str(FUNCTIONS))}/waits_*.py .",
        f"cp {shlex.quote(str(bootstrap))} bootstrap",
    ]
    addresses = [
        "--runtime-interface-emulator-address", f"127.0.0.1:{ports[0]}",
        "--runtime-api-address", f"127.0.0.1:{ports[1]}",
    ]  # fmt: skip
    # Mount everything before /var is replaced: sources may be inside the old /var.
    script = " && ".join(["mount -t tmpfs none /var", *mounts, f'exec "$@" > {_OUT} 2>&1'])
    command = [
        "unshare", "--mount", "sh", "-c", script, "sh", str(executable), *addresses,
    ]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "AWS_LAMBDA_MAX_CONCURRENCY": str(slots)}
    with _serving(command, folder, environment, ports, folder) as managed:
        yield managed


_OUT = "/var/bytecode/log"


def _bootstrap(
    folder: Path, python: str, contender: ManagedContender, path: str, own: Path
) -> Path:
    script = folder / "bootstrap"
    variables = {
        "PYTHONPATH": path,
        # Cached, so that the compiler's memory does not count.
        "PYTHONPYCACHEPREFIX": str(own / "compiled"),
        # For an interpreter with a shared library.
        "LD_LIBRARY_PATH": str(Path(python).parents[1] / "lib"),
        "_HANDLER": contender.handler,
    }
    told = [f"export {name}={shlex.quote(text)}" for name, text in variables.items()]
    run = shlex.join([python, *contender.arguments, contender.handler])
    script.write_text("\n".join(["#!/bin/sh", *told, f"exec {run}", ""]))
    script.chmod(0o755)
    (folder / "compiled").mkdir(exist_ok=True)
    for shared in (folder, folder / "compiled"):
        shared.chmod(0o777)
    return script


@contextmanager
def _serving(
    command: Sequence[str],
    cwd: Path,
    environment: dict[str, str],
    ports: Sequence[int],
    folder: Path,
) -> Generator[RunningContender]:
    with (folder / "server").open("wb") as output:
        server = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    left: list[int] = []
    try:
        for port in ports:
            wait_for(port)
        yield RunningContender(("127.0.0.1", ports[0]), server.pid)
    finally:
        left += descendants(server.pid)
        # First SIGINT: each server ends its runtime, which has its own process group.
        server.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            server.wait(ENDS_WITHIN)
        for pid in left:
            _make_sure(pid)
        server.kill()
        server.wait()


def _make_sure(pid: int) -> None:
    until = time.monotonic() + 1
    while not is_gone(pid) and time.monotonic() < until:
        time.sleep(0.01)
    if not is_gone(pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def _serve(port: int, slots: int, bootstrap: str) -> None:
    settings = FunctionSettings(
        "waits_on_loop.handler",
        command=(bootstrap,),
        task_root=FUNCTIONS,
        timeout=60,
        max_concurrency=slots,
    )
    async with open_local_lambda(settings, invoke_port=port, output=lambda _: None):
        await trio.sleep_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        trio.run(_serve, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
