"""A runtime with many events at once on a server of its own: AWS's emulator, or the local one.

The emulator takes no command here: it runs /var/task/bootstrap as a user of its own. So it runs in
a mount namespace, where /var is new and holds the interpreter, the packages and the function,
wherever they lie outside; nothing is left of it, and a /var/task of this machine's is not touched.
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
from okibi.local.processes import cpu_seconds, descendants, proportional_memory, tree_memory
from tests.support.emulator import free_ports, wait_for
from tests.support.sandbox import FUNCTIONS, ROOT, is_gone

ENDS_WITHIN = 5.0


@attrs.frozen
class Contender:
    """One runtime with one handler.

    Args:
        name: as it is printed.
        arguments: of the interpreter; the handler follows.
        handler: `module.name`, of `functions/`.
    """

    name: str
    arguments: tuple[str, ...]
    handler: str


@attrs.frozen
class Managed:
    """It runs.

    Attributes:
        address: where to POST events.
        pid: the server's process; those of the runtime are below it.
    """

    address: tuple[str, int]
    pid: int

    def processes(self) -> list[int]:
        """The runtime's processes."""
        return descendants(self.pid)

    def memory(self) -> int:
        """The memory of them all in bytes, what several share divided between them (PSS)."""
        return sum(proportional_memory(pid) for pid in self.processes())

    def memory_alone(self) -> int:
        """The same as if no others were on the machine, as in a sandbox."""
        # Of those below the server the runtime's first has all the others below it.
        return max(map(tree_memory, self.processes()))

    def cpu(self) -> float:
        """Seconds of processor time that they have had."""
        return sum(cpu_seconds(pid) for pid in self.processes())


@contextmanager
def on_local_server(contender: Contender, slots: int, folder: Path) -> Generator[Managed]:
    """Run it on okibi's local server, in a process of its own."""
    invoke, _ = free_ports()
    path = os.pathsep.join(map(str, (ROOT, sysconfig.get_path("purelib"))))
    bootstrap = _bootstrap(folder, sys.executable, contender, path, folder)
    told = [str(invoke), str(slots), str(bootstrap)]
    command = [sys.executable, "-m", "tests.endurance.managed", *told]
    with _serving(command, ROOT, {**os.environ}, (invoke,), folder) as managed:
        yield managed


@contextmanager
def on_emulator(
    executable: Path, contender: Contender, slots: int, folder: Path
) -> Generator[Managed]:
    """Run it on AWS's emulator; needs root, and `many_refused` to say nothing."""
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
    # What is mounted here lies outside of /var, or is seen no more once /var is new: so first.
    script = " && ".join(["mount -t tmpfs none /var", *mounts, f'exec "$@" > {_OUT} 2>&1'])
    command = [
        "unshare", "--mount", "sh", "-c", script, "sh", str(executable), *addresses,
    ]  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "AWS_LAMBDA_MAX_CONCURRENCY": str(slots)}
    with _serving(command, folder, environment, ports, folder) as managed:
        yield managed


_OUT = "/var/bytecode/log"


def _bootstrap(folder: Path, python: str, contender: Contender, path: str, own: Path) -> Path:
    script = folder / "bootstrap"
    variables = {
        "PYTHONPATH": path,
        # Compiled once: what the compiler leaves in memory is no runtime's.
        "PYTHONPYCACHEPREFIX": str(own / "compiled"),
        # Where the interpreter's own library lies, if it was built with one.
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
) -> Generator[Managed]:
    with (folder / "server").open("wb") as output:
        server = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    left: list[int] = []
    try:
        for port in ports:
            wait_for(port)
        yield Managed(("127.0.0.1", ports[0]), server.pid)
    finally:
        left += descendants(server.pid)
        # In order first, for each server takes its runtime along, which leads a group of its own.
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
