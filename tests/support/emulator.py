"""AWS's emulator: how to get it, and how to run a function in it.

AWS ships `aws-lambda-rie` inside the wheel of aws-sam-cli. The emulator is taken from an installed
aws-sam-cli, from this user's cache, or from a download, in this order.
"""

import importlib.metadata
import importlib.util
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs
import httpx

from tests.limits import HANG
from tests.support.sandbox import PYTHON

ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
INSIDE = f"samcli/local/rapid/aws-lambda-rie-{ARCHITECTURE}"
DOWNLOAD_LIMIT = 90.0


class NoEmulatorError(Exception):
    """The emulator is not available; the text says why."""


def emulator() -> Path:
    """Return the emulator's executable.

    Raises:
        NoEmulatorError: the emulator is not installed and cannot be downloaded.
    """
    if sys.platform != "linux":
        raise NoEmulatorError("the emulator runs on Linux only")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "okibi"
    kept = cache / f"aws-lambda-rie-{ARCHITECTURE}"
    if kept.exists():
        return kept
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            found = _installed() or _downloaded(Path(folder))
            made = Path(folder) / "emulator"
            made.write_bytes(found)
            made.chmod(0o755)
            # Atomic: concurrent runs never see half a file.
            made.replace(kept)
    except OSError as error:
        raise NoEmulatorError(f"{cache} cannot hold the emulator: {error}") from error
    return kept


def _installed() -> bytes | None:
    try:
        files = importlib.metadata.files("aws-sam-cli") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if str(file) == INSIDE)
    return next((path.read_bytes() for path in found if path.exists()), None)


def _downloaded(folder: Path) -> bytes:
    if importlib.util.find_spec("pip") is not None:
        python = sys.executable
    else:
        # uv creates environments without pip; the interpreter can create one with pip.
        venv.create(folder / "pip", with_pip=True)
        python = str(folder / "pip" / "bin" / "python")
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    try:
        subprocess.run(
            [*command, "--dest", str(folder), "aws-sam-cli"],
            check=True, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT,
        )  # fmt: skip
        with zipfile.ZipFile(next(folder.glob("aws_sam_cli-*.whl"))) as wheel:
            return wheel.read(INSIDE)
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:]
        raise NoEmulatorError(f"cannot download aws-sam-cli: {' '.join(last)}") from error
    except (subprocess.TimeoutExpired, StopIteration, KeyError, zipfile.BadZipFile) as error:
        raise NoEmulatorError(f"aws-sam-cli contains no emulator: {error!r}") from error


@attrs.define(eq=False)
class Emulated:
    """A function in the emulator."""

    client: httpx.Client
    log: Path

    def invoke(self, payload: bytes, **headers: str) -> bytes:
        """Invoke the function and return the payload of the response."""
        path = "/2015-03-31/functions/function/invocations"
        return self.client.post(path, content=payload, headers=headers).content


@contextmanager
def emulated(
    executable: Path, handler: str, task_root: Path, log: Path, environment: Mapping[str, str]
) -> Iterator[Emulated]:
    """Run a function in the emulator, on loopback and free ports."""
    command = [sys.executable, "-P", "-m", "okibi.runtime", handler]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "OKIBI_"))}
    variables = {**inherited, **PYTHON, **environment}
    with (
        log.open("wb") as output,
        emulating(executable, command, task_root, variables, output) as (port, _),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        yield Emulated(client, log)


@contextmanager
def emulating(
    executable: Path,
    command: Sequence[str],
    task_root: Path,
    environment: Mapping[str, str],
    output: IO[bytes],
    before: Sequence[str] = (),
) -> Iterator[tuple[int, int]]:
    """Run a command as the emulator's runtime; yield the port for invokes and the emulator's
    process id. `before` starts the emulator in another way than by its path.
    """
    invoke_port, api_port = free_ports()
    process = subprocess.Popen(
        [
            *(before or [str(executable)]),
            "--runtime-interface-emulator-address", f"127.0.0.1:{invoke_port}",
            "--runtime-api-address", f"127.0.0.1:{api_port}",
            *command,
        ],
        cwd=task_root, env=environment, stdout=output, stderr=output, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(invoke_port)
        yield invoke_port, process.pid
    finally:
        # The emulator ends its runtime, which is in its own process group.
        process.terminate()
        try:
            process.wait(HANG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports() -> tuple[int, int]:
    """Return two free ports of the loopback interface."""
    with socket.socket() as first, socket.socket() as second:
        for bound in (first, second):
            bound.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def wait_for(port: int) -> None:
    """Wait until a server listens on the port."""
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise TimeoutError(f"no server listens on port {port}")
