"""GetItem by okibi.aws, beside boto3 in a thread and httpx with okibi's signature.

A server in a process of its own answers each request with the same item, by TCP and by TLS. Each
contender keeps one connection. The imports are compared by the processor time of whole processes,
less that of a process that imports okibi.actors, which every function of okibi does.

    python -m benchmarks.aws_calls
"""

import argparse
import asyncio
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import trio
import trustme

from okibi import aws
from okibi.aws.credentials import Credentials
from okibi.aws.sigv4 import sign
from tests.entities.tiny_dynamodb import TinyDynamoDB

from .reporting.rows import RatioRow, at_least_one

COUNT = 300
ROUNDS = 7
BODY = json.dumps(
    {"Item": {"k": {"S": "cart/bob"}, "v": {"N": "7"}, "text": {"S": "x" * 700}}}
).encode()
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: 0\r\n"
    b"content-length: %d\r\n\r\n"
)
ANSWER = HEAD % len(BODY) + BODY
ENTITIES_TABLE = b'"entities"'
KEY = {"TableName": "carts", "Key": {"k": {"S": "cart/bob"}}}
KEYS = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",  # boto3 reads no other
}
IMPORTS = {
    "actors": "import okibi.actors",
    "okibi": "import okibi.actors; from okibi import aws",
    "httpx": "import okibi.actors; import httpx",
    "boto3": "import okibi.actors; import boto3; boto3.client('dynamodb', 'eu-west-1')",
}
Call = Callable[[], Awaitable[object]]


class CannedServer(asyncio.Protocol):
    """Answers each complete request on a connection: with one item, or for entities."""

    entities = TinyDynamoDB()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            _, _, rest = self._received[:end].lower().partition(b"content-length:")
            whole = end + 4 + int(rest.split()[0] if rest else 0)
            if len(self._received) < whole:
                return
            request, self._received = self._received[:whole], self._received[whole:]
            self._transport.write(self._answer(request, end))

    def _answer(self, request: bytes, end: int) -> bytes:
        if ENTITIES_TABLE not in request[end:]:
            return ANSWER
        operation = "UpdateItem" if b".UpdateItem" in request[:end] else "GetItem"
        body = json.dumps(self.entities.ask(operation, json.loads(request[end:]))).encode()
        return HEAD % len(body) + body


async def serve(certificate: str | None) -> None:
    """Serve until the process is ended; print the port."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(CannedServer, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def canned_server(certificate: Path | None) -> Generator[str]:
    """Start a server, and yield its URL."""
    command = [sys.executable, "-m", "benchmarks.aws_calls", "--serve", str(certificate or "")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        scheme = "https://localhost" if certificate else "http://127.0.0.1"
        try:
            yield f"{scheme}:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


@contextmanager
def certificate_of_localhost() -> Generator[tuple[Path, Path]]:
    """Yield the files of a certificate with its key, and of its root."""
    with tempfile.TemporaryDirectory(prefix="okibi-tls-") as folder:
        own, root = Path(folder, "localhost.pem"), Path(folder, "root.pem")
        authority = trustme.CA()
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(own))
        authority.cert_pem.write_to_path(str(root))
        yield own, root


@contextmanager
def played_dynamodb() -> Generator[dict[str, str]]:
    """Serve by TLS, and yield the variables of a function that calls the server."""
    with certificate_of_localhost() as (own, root), canned_server(own) as url:
        yield {**KEYS, "AWS_ENDPOINT_URL": url, "AWS_CA_BUNDLE": str(root)}


async def measure(call: Call, count: int) -> float:
    """Return the median time of a call in microseconds."""
    taken = list[float]()
    for _ in range(count):
        began = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


async def compare_calls(url: str, root: Path, rounds: int) -> dict[str, list[float]]:
    """Measure all contenders in turn."""
    context = ssl.create_default_context(cafile=root)
    ours = aws.Client(endpoint=url, tls=context)
    # Its types are not known.
    boto3: Any = import_module("boto3")
    theirs: Any = boto3.client("dynamodb", "eu-west-1", endpoint_url=url, verify=str(root))
    keys = Credentials("a", "b")
    body = json.dumps(KEY).encode()
    async with httpx.AsyncClient(verify=context) as client:

        async def by_httpx() -> object:
            headers = {
                "host": url.partition("://")[2],
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": "DynamoDB_20120810.GetItem",
            }
            scope = ("eu-west-1", "dynamodb")
            sign(keys, scope, "POST", "/", "", headers, body, time.time())
            return (await client.post(url, headers=headers, content=body)).json()

        calls: dict[str, Call] = {
            "okibi": lambda: ours.call("dynamodb", "GetItem", KEY),
            "boto3": lambda: trio.to_thread.run_sync(lambda: theirs.get_item(**KEY)),
            "httpx": by_httpx,
        }
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(rounds + 1):
            for name, call in calls.items():
                found = await measure(call, COUNT if number else 20)
                taken[name] += [found] if number else []
    return taken


def import_cpu(code: str) -> float:
    """Return the processor time of a process in milliseconds."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = os.times()
    user, system = after[2] - before[2], after[3] - before[3]
    return 1000 * (user + system)


def compare_imports(rounds: int) -> dict[str, list[float]]:
    """Measure the imports, ten processes a round, less the import of the actors."""
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        found = dict.fromkeys(IMPORTS, 0.0)
        for _ in range(10):
            for name, code in IMPORTS.items():
                found[name] += import_cpu(code) / 10
        for name, each in found.items():
            taken[name].append(each - found["actors"])
    return taken


def rows(
    group: str, taken: dict[str, list[float]], unit: str, bars: dict[str, float]
) -> Iterator[RatioRow]:
    """Yield the ratio of okibi to each other contender."""
    for name in ("boto3", "httpx"):
        ratios = tuple(a / b for a, b in zip(taken["okibi"], taken[name], strict=True))
        ours, theirs = (statistics.median(taken[each]) for each in ("okibi", name))
        told = f"{ours:.1f} / {theirs:.1f} {unit}"
        yield RatioRow(group, f"okibi / {name}", ratios, bars.get(name), told=told)


def main() -> None:
    """Run the benchmark.

    Raises:
        SystemExit: a bar is missed.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.aws_calls", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=ROUNDS)
    parser.add_argument("--serve", metavar="CERTIFICATE", help="only serve, on a free port")
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
    os.environ.update(KEYS)
    met = True
    with certificate_of_localhost() as (own, root):
        for group, certificate in (("GetItem by TLS", own), ("GetItem by TCP", None)):
            with canned_server(certificate) as url:
                taken = trio.run(compare_calls, url, root, options.rounds)
            for row in rows(group, taken, "us", {"boto3": 0.3}):
                met = met and row.met
                print(f"{group}: {row}", flush=True)
    for row in rows("import", compare_imports(options.rounds), "ms", {"httpx": 0.15}):
        met = met and row.met
        print(f"import: {row}", flush=True)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
