"""`okibi dev` as a process."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs

from tests.limits import HANG

__all__ = ["OkibiDev", "run_okibi_dev"]


@attrs.define(eq=False)
class OkibiDev:
    """A running `okibi dev`. Each wait reads on from where the last one ended."""

    process: "subprocess.Popen[str]"
    url: str = ""
    output: list[str] = attrs.field(factory=list[str])
    """The lines read so far."""

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Read lines until one matches."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no line with {pattern!r} in\n" + "\n".join(self.output))

    def end(self) -> int:
        """Send Ctrl-C, read the rest, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.output += self.process.stdout.read().splitlines()
        return self.process.wait(HANG)

    def boto3(self) -> Any:
        """A client of the server."""
        return import_module("boto3").client(
            "lambda", endpoint_url=self.url, region_name="us-east-1",
            aws_access_key_id="any", aws_secret_access_key="any",
        )  # fmt: skip


@contextmanager
def run_okibi_dev(
    folder: Path, *arguments: str, limit: float = HANG, **variables: str
) -> Iterator[OkibiDev]:
    """Start `okibi dev` on a free port, wait until it serves, and kill it at the end.

    It is killed after `limit` seconds too.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "okibi.cli", "dev", "--port", "0", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables},
    ) as process:  # fmt: skip
        alarm = threading.Timer(limit, process.kill)
        alarm.start()
        try:
            dev = OkibiDev(process)
            dev.url = dev.wait_for(r"okibi dev serves (http://\S+)")[1]
            dev.wait_for("Ctrl-C ends it")
            yield dev
        finally:
            alarm.cancel()
            process.kill()
