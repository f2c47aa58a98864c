"""MiniStack, an emulator of AWS without Docker, in a process of its own."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "BIN",
    "REGION",
    "ROOT",
    "aws_environment",
    "run_ministack",
    "stop_group",
    "wait_until_it_answers",
]

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv-ministack" / "bin"
REGION = "us-east-1"
START_LIMIT = 30.0


def aws_environment() -> dict[str, str]:
    """The environment of a command that talks to MiniStack: no setting of this machine's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AWS_", "VIRTUAL"))}
    return {
        **kept,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def run_ministack(folder: Path) -> Iterator[str]:
    """Start MiniStack and yield its address.

    Its functions run with the `python3` that is first on PATH: that of `.venv-ministack`.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        **aws_environment(),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "ministack"], cwd=folder, env=environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(url, process)
        yield url
    finally:
        stop_group(process)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and the functions that it has started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until MiniStack answers."""
    limit = time.monotonic() + START_LIMIT
    while True:
        try:
            urllib.request.urlopen(f"{url}/_ministack/health", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            assert process.poll() is None, "MiniStack has ended"
            assert time.monotonic() < limit, "MiniStack does not answer"
            time.sleep(0.05)
        else:
            return
