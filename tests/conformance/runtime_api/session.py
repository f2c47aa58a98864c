"""A running server, okibi's or AWS's, with an idle bootstrap: the suite sends its requests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from tests.conformance.runtime_api.local_server import BOOTSTRAP, SLOTS, STARTED, serve_local
from tests.conformance.runtime_api.peer import ANSWER_TIMEOUT, ApiAnswer, Invoker, Peer, request
from tests.support.emulator import free_ports, wait_for

RUNTIME = "/2018-06-01/runtime/"
EXTENSION = "/2020-01-01/extension/"
NEXT = request("GET", f"{RUNTIME}invocation/next")
EVENT = b'{"a":1}'
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@attrs.frozen
class Observation:
    """A status and body, and what the specification demands."""

    label: str
    actual: tuple[int, bytes]
    expected: tuple[int, bytes]


@attrs.define(eq=False)
class ApiSession:
    """A running server, its connections, and the observations of a case."""

    api: tuple[str, int]
    invoke_api: tuple[str, int]
    log: Path
    observations: list[Observation] = attrs.field(factory=list[Observation])
    _names: dict[str, str] = attrs.field(factory=dict[str, str])
    _peers: list[Peer] = attrs.field(factory=list[Peer])
    _invokers: list[Invoker] = attrs.field(factory=list[Invoker])

    def connect(self) -> Peer:
        """Open a connection to the Runtime API."""
        self._peers.append(Peer(self.api))
        return self._peers[-1]

    def close(self) -> None:
        """Close all connections and join all invokers, after the server has stopped."""
        for peer in self._peers:
            peer.close()
        for invoker in self._invokers:
            invoker.answer()

    def invoke(self, payload: bytes = EVENT, *headers: str, starts: int = 1) -> Invoker:
        """Start an invoke, and return when the server has received the invoke.

        Args:
            payload: the event.
            headers: headers of the invoke.
            starts: number of runtimes to wait for. AWS's emulator starts a runtime when an invoke
                needs one; a next sent before or right after that start gets no answer.
        """
        path = "/2015-03-31/functions/function/invocations"
        invoker = Invoker(self.invoke_api, request("POST", path, payload, *headers))
        self._invokers.append(invoker)
        self._wait_for_starts(starts)
        # AWS's emulator does not log when it is ready for a next.
        time.sleep(0.15)
        return invoker

    def _wait_for_starts(self, starts: int) -> None:
        until = time.monotonic() + ANSWER_TIMEOUT
        while self.log.read_text(errors="replace").count(STARTED) < starts:
            if time.monotonic() > until:
                raise TimeoutError(f"the server did not start runtime {starts}: see {self.log}")
            time.sleep(0.01)

    def invoke_and_take(self, payload: bytes = EVENT, *headers: str) -> tuple[Invoker, Peer, str]:
        """Invoke, and take the event. Return the invoker, the connection and the request id."""
        invoker, peer = self.invoke(payload, *headers), self.connect()
        return invoker, peer, self.id_of(peer.ask(NEXT))

    def id_of(self, answer: ApiAnswer) -> str:
        """Return the request id of an event. Later observations show the id as `ID`."""
        assert "lambda-runtime-aws-request-id" in answer.headers, answer
        request_id = answer.headers["lambda-runtime-aws-request-id"]
        self._names[request_id] = "ID"
        return request_id

    def register(self, peer: Peer, name: str, events: str = "") -> str:
        """Register an extension and return its identifier, which observations show as `EXT`."""
        answer = peer.ask(self.registration(name, events))
        identifier = answer.headers["lambda-extension-identifier"]
        self._names[identifier] = "EXT"
        return identifier

    @staticmethod
    def registration(name: str, events: str = "", *headers: str) -> bytes:
        body = f'{{"events":[{events}]}}'.encode()
        named = f"Lambda-Extension-Name: {name}"
        return request("POST", f"{EXTENSION}register", body, named, *headers)

    @staticmethod
    def event_next(identifier: str) -> bytes:
        named = f"Lambda-Extension-Identifier: {identifier}"
        return request("GET", f"{EXTENSION}event/next", b"", named)

    def expect(self, label: str, answer: ApiAnswer, status: int, body: bytes | str = b"") -> None:
        """Record an answer beside the answer that the specification demands."""
        expected = body.encode() if isinstance(body, str) else body
        actual = answer.body
        for given, written in self._names.items():
            actual = actual.replace(given.encode(), written.encode())
        self.observations.append(Observation(label, (answer.status, actual), (status, expected)))

    def expect_text(self, label: str, actual: str, expected: str) -> None:
        """Record a text beside the expected text."""
        self.observations.append(Observation(label, (0, actual.encode()), (0, expected.encode())))


@contextmanager
def local_session(mode: str, timeout: int, folder: Path) -> Iterator[ApiSession]:
    """Run okibi's local server."""
    log = folder / "log"
    log.touch()
    with ExitStack() as closing, serve_local(mode, timeout, log) as addresses:
        session = ApiSession(*addresses, log)
        closing.callback(session.close)
        yield session


@contextmanager
def emulator_session(
    executable: Path, mode: str, timeout: int, folder: Path
) -> Iterator[ApiSession]:
    """Run AWS's emulator."""
    ports = free_ports()
    invoke, api = (f"127.0.0.1:{port}" for port in ports)
    addresses = ["--runtime-interface-emulator-address", invoke, "--runtime-api-address", api]
    environment = {"PATH": PATH, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout)}
    command = [str(executable), *addresses, "/bin/sh", "-c", BOOTSTRAP]
    if mode == "many":
        # In this mode the emulator ignores the command and runs /var/task/bootstrap. A private
        # mount namespace provides the file and leaves nothing behind.
        environment["AWS_LAMBDA_MAX_CONCURRENCY"] = str(SLOTS)
        script = (
            "mount -t tmpfs none /var && mkdir /var/task && cd /var/task"
            " && printf '#!/bin/sh\\n%s\\n' \"$1\" > bootstrap"
            ' && chmod 755 /var /var/task bootstrap && shift && exec "$@"'
        )
        inside = ["sh", "-c", script, "sh", BOOTSTRAP, str(executable), *addresses]
        # The runtime has another user and process group and would outlive the emulator. A process
        # namespace with the emulator as its first process prevents this.
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *inside]
    with _serve_emulator(command, environment, ports, folder) as session:
        yield session


def many_refused() -> str:
    """Return why the emulator's multi-concurrency cannot run here, or ""."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the emulator's multi-concurrency needs root"
    try:
        tried = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/var"],
            capture_output=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot create a mount namespace: {error}"
    return "" if tried.returncode == 0 else "cannot create a mount namespace"


@contextmanager
def _serve_emulator(
    command: list[str],
    environment: Mapping[str, str],
    ports: tuple[int, int],
    folder: Path,
) -> Iterator[ApiSession]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    session = ApiSession(*_addresses(ports), log)
    try:
        for port in ports:
            wait_for(port)
        yield session
    finally:
        # SIGINT: the emulator then stops its runtime, which has its own process group.
        # Signal the group, because `unshare` does not forward signals.
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        session.close()


def _addresses(ports: tuple[int, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return the addresses of the Runtime API and of the Invoke API."""
    return ("127.0.0.1", ports[1]), ("127.0.0.1", ports[0])
