"""The runtimes to compare, which all serve the same echo, and how to run one."""

import atexit
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import attrs

from okibi.bench.measured_runtime import OFFICIAL_CLIENT, OKIBI_COMMAND, start_command
from okibi.local.sandbox.processes import descendants, tree_memory

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = Path(__file__).parent / "functions"
PEERS = Path(__file__).parent / "peers"
Run = dict[str, float]
"""The figures of one run, in microseconds per event:

    cycle_us    from one event to the next, median
    answer_us   from an event to its complete response, median
    first_us    from an event to the first byte of a streamed response, median; else 0
    mean_us     mean cycle; its inverse is the throughput
    cpu_us      processor time of the runtime's process, mean
    server_us   processor time of the server, mean
"""


class Absent(Exception):
    """A contender cannot run here. The message says why."""


@attrs.frozen
class Contender:
    """A runtime to measure.

    Args:
        name: printed in tables.
        command: starts the runtime.
        handler: the handler to serve.
        variables: additional environment variables.
    """

    name: str
    command: tuple[str, ...]
    handler: str = "app.plain"
    variables: tuple[tuple[str, str], ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the environment variables, except the address of the Runtime API."""
        return {
            "_HANDLER": self.handler,
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
            "PYTHONPATH": os.pathsep.join([str(FUNCTIONS), str(ROOT)]),
            "AWS_LAMBDA_FUNCTION_NAME": "echo",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/echo",
            "AWS_LAMBDA_LOG_STREAM_NAME": "echo",
            **dict(self.variables),
        }


def _module(name: str, *arguments: str) -> Contender:
    return Contender(name, (sys.executable, "-m", *arguments))


OFFICIAL = Contender(OFFICIAL_CLIENT, start_command(OFFICIAL_CLIENT, "app.plain"))
PLAIN = Contender("okibi, plain def", OKIBI_COMMAND)
ASYNC = attrs.evolve(PLAIN, name="okibi, async def", handler="app.echo")
ON_ASYNCIO = attrs.evolve(ASYNC, name="okibi, on asyncio", variables=(("OKIBI_LOOP", "asyncio"),))
PARKED = attrs.evolve(ASYNC, name="okibi, no busy wait", variables=(("OKIBI_BUSY_WAIT_US", "0"),))
TYPED = attrs.evolve(PLAIN, name="okibi, Handler", handler="typed.Echo")
STREAMED = attrs.evolve(PLAIN, name="okibi, streamed", handler="app.streamed")
STATEFUL = attrs.evolve(PLAIN, name="okibi, calls an actor", handler="stateful.function")
FLOOR = _module("floor: a bare socket", "benchmarks.floor")
FLOOR_AWAKE = _module("a bare socket, no sleep", "benchmarks.floor", "--awake")
FLOOR_JSON = _module("a bare socket and JSON", "benchmarks.floor", "--json")
BARE_TASKS = _module("four bare trio tasks", "benchmarks.peers.bare_tasks")
PURE = _module("pure-lambda-ric", "benchmarks.peers.pure_ric")
H11 = _module("a loop through h11", "benchmarks.peers.h11_loop")
HTTPX = _module("a loop through httpx", "benchmarks.peers.httpx_loop")


def floor_in_c() -> Contender:
    """Build the bare socket in C, the floor for every runtime.

    Raises:
        Absent: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Absent("no C compiler here: apt-get install gcc (Debian)")
    # A new folder, readable by this user only: a guessable name could belong to another user.
    folder = Path(tempfile.mkdtemp(prefix="okibi-floor-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = folder / "floor"
    source = Path(__file__).parent / "floor.c"
    done = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(source)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Absent(f"floor.c does not compile: {done.stderr.strip().splitlines()[-1]}")
    return Contender("floor in C", (str(program),))


def node() -> Contender:
    """Return AWS's own client for Node.js.

    Raises:
        Absent: the client is not built.
    """
    cure = (
        "apt-get install nodejs npm cmake g++ autoconf automake libtool (Debian), make bench-full"
    )
    program = shutil.which("node")
    if program is None:
        raise Absent(f"no node here, for aws-lambda-ric (npm): {cure}")
    client = ROOT / ".node" / "node_modules" / "aws-lambda-ric"
    if not (client / "dist" / "rapid-client.node").exists():
        raise Absent(f"aws-lambda-ric (npm) is not built: {cure}")
    # The client looks for its handler below the working directory.
    handler = str((FUNCTIONS / "echo").relative_to(ROOT)) + ".handler"
    start = str(client / "bin" / "index.mjs")
    return Contender("aws-lambda-ric, Node.js", (program, start, handler), handler)


def check_installed(module: str, cure: str) -> None:
    """Check that the package of a contender is installed.

    Raises:
        Absent: the package is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise Absent(f"{module} is not installed: {cure}")


@attrs.frozen
class ContenderProcess:
    """A contender with its own server, between laps."""

    contender: Contender
    _server: "subprocess.Popen[str]"
    _said: IO[bytes]

    def lap(self, count: int, warmup: int) -> Run:
        """Run one lap and return its figures.

        Args:
            count: measured events.
            warmup: events before them.

        Raises:
            Absent: the contender does not run any more.
        """
        assert self._server.stdout is not None
        self.say(f"{warmup} {count}")
        told = self._server.stdout.readline()
        if not told:
            raise Absent(f"{self.contender.name} did not run: {self._why()[:500]}")
        measured: Run = json.loads(told)
        return measured

    def say(self, line: str) -> None:
        """Send a line to the server. If the server has gone, `lap` reports that."""
        assert self._server.stdin is not None
        with suppress(BrokenPipeError):
            self._server.stdin.write(f"{line}\n")
            self._server.stdin.flush()

    def memory(self) -> int:
        """Return the runtime's memory in bytes, as if alone on the machine."""
        # Of the server's descendants, the runtime has the most: its tree includes the others.
        return max(map(tree_memory, descendants(self._server.pid)), default=0)

    def end(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        # Closing flushes, and fails if the server has gone.
        with suppress(BrokenPipeError):
            self._server.stdin.close()

    def _why(self) -> str:
        code = self._server.wait()
        # pread, because the writers share the file's offset.
        said_all = os.pread(self._said.fileno(), 1 << 20, 0).decode(errors="replace")
        said = [line.strip() for line in said_all.splitlines() if line.strip()]
        # The server's message comes last, after the runtime's.
        return "; ".join(reversed(said[-2:])) or f"exit code {code}"


@contextmanager
def running(contender: Contender, payload: str) -> Generator[ContenderProcess, None, None]:
    """Run a contender and its server, as processes, until the block ends."""
    settings = {
        "command": list(contender.command),
        "environment": contender.environment(),
        "payload": payload,
    }
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, cwd=ROOT,
        ) as server,
    ):  # fmt: skip
        one = ContenderProcess(contender, server, said)
        # The server starts now, while others are being started.
        one.say(json.dumps(settings))
        try:
            yield one
        finally:
            one.end()


def run(contender: Contender, payload: str, count: int, warmup: int = 500) -> Run:
    """Run one lap in new processes.

    Raises:
        Absent: the contender does not run.
    """
    with running(contender, payload) as one:
        return one.lap(count, warmup)
