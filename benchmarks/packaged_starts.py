"""The cold start of packages that `okibi package` built, beside the official client's: `make cold`.

Measured from the start of a process until the server has read its first answer: the processor time
of the process, and the time by the clock. Processor time is compared, because other load on the
machine hardly changes it. okibi and the official client start in turn, in another order each round;
the median of the rounds' ratios counts. Both packages have bytecode that Python does not check.

The instructions of one start each, counted by valgrind, stand beside the rows. The first function
also starts with 1/14 of a core, the share of 128 MB on Lambda, by a quota of a control group: for
this, root is needed.

`--share` also measures packages of okibi without a part of the start image, and `--bundled` one
that brings its own Python. `--cold` drops the system's page cache before each start (root only): it
slows down everything else on the machine.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import attrs

from okibi.bench.turns import measure_in_turn
from okibi.local.sandbox.processes import tree_memory
from okibi.packaging.bytecode import compile_package
from okibi.packaging.project import find_project
from okibi.packaging.resolve import find_uv
from okibi.packaging.staging import Staged, stage
from okibi.packaging.start_image import Parts, add_start_image
from okibi.packaging.targets import parse_target
from okibi.project.bad_input import BadInput

from .aws_calls import played_dynamodb
from .events import STATUS, event, tail
from .reporting.rows import RatioRow, at_least_one, compare
from .requests import ConnectionClosed, Requests
from .server import cpu_seconds, start_runtime

ROUNDS = 40
MIB = 2**20
DROP = Path("/proc/sys/vm/drop_caches")
# The folder of control groups, and the files that give a group 1/14 of a core: versions 2 and 1.
QUOTAS = (
    (Path("/sys/fs/cgroup"), {"cpu.max": "1430 20000"}),
    (Path("/sys/fs/cgroup/cpu"), {"cpu.cfs_period_us": "20000", "cpu.cfs_quota_us": "1430"}),
)
HTTP_EVENT = json.dumps(
    {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"host": "example.com"},
        "requestContext": {
            "http": {
                "method": "GET", "path": "/", "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1", "userAgent": "benchmark",
            },
            "domainName": "example.com", "stage": "$default", "requestId": "1",
        },
        "isBase64Encoded": False,
    }
)  # fmt: skip
FASTAPI = """
from fastapi import FastAPI

handler = app = FastAPI()

@app.get("/")
def home():
    return {"hello": "world"}
"""
BY_MANGUM = f"""
from mangum import Mangum
{FASTAPI}
handler = Mangum(app, lifespan="off")
"""
BOTO3 = """
import boto3

{define} handler(event, context):
    return event
"""
GET_ITEM = """
from okibi import aws

KEY = {"TableName": "carts", "Key": {"k": {"S": "cart/bob"}}}

async def handler(event, context):
    return await aws.call("dynamodb", "GetItem", KEY)
"""
GET_ITEM_BY_BOTO3 = """
import boto3

client = boto3.client("dynamodb")

def handler(event, context):
    return client.get_item(TableName="carts", Key={"k": {"S": "cart/bob"}})["Item"]
"""
CART = """
import attrs

from okibi import Child, Function
from okibi.entities import Entities, Entity, EntityStore

@attrs.define(eq=False)
class Cart(Entity):
    items: dict[str, int] = attrs.Factory(dict[str, int])

    async def add(self, item: str) -> int:
        self.items[item] = self.items.get(item, 0) + 1
        return self.items[item]

CARTS = Entities("cart", Cart)

async def handle(event, context):
    return await CARTS["bob"].call(Cart.add, "tea")

handler = Function(handle, children=[Child(EntityStore)])
"""


@attrs.frozen
class Function:
    """A function to start.

    Args:
        name: the name in the table.
        ours, theirs: the source of `app.py` for okibi and for the official client.
        requirements: the packages that the source imports.
        theirs_too: further packages that the official client's source imports.
        of_runtime: packages that lie beside Python's own, as boto3 on Lambda.
        theirs_is_compiled: whether the official client's package has bytecode. Without it, Lambda
            compiles at each start: its disk is read-only.
        payload: the event.
        by_tls: whether the function calls DynamoDB, which a server of this benchmark plays.
        bars: the greatest ratio of processor time, with and without the page cache; 0 for none.
        slow_bar: the greatest ratio by the clock with 1/14 of a core; 0 to measure none.
        environment: variables of the function.
    """

    name: str
    ours: str
    theirs: str
    requirements: tuple[str, ...] = ()
    theirs_too: tuple[str, ...] = ()
    of_runtime: tuple[str, ...] = ()
    theirs_is_compiled: bool = True
    payload: str = "{}"
    by_tls: bool = False
    bars: tuple[float, float] = (0.0, 0.0)
    slow_bar: float = 0.0
    environment: Mapping[str, str] = MappingProxyType({})


TRIVIAL = "{define} handler(event, context):\n    return event\n"
FUNCTIONS = (
    Function(
        "trivial async def",
        TRIVIAL.format(define="async def"),
        TRIVIAL.format(define="def"),
        bars=(2.0, 0.0),
        slow_bar=2.1,
    ),
    Function(
        "import boto3",
        BOTO3.format(define="async def"),
        BOTO3.format(define="def"),
        ("boto3",),
        bars=(1.0, 0.82),
    ),
    Function(
        "import boto3, there without bytecode",
        BOTO3.format(define="async def"),
        BOTO3.format(define="def"),
        ("boto3",),
        theirs_is_compiled=False,
        bars=(0.50, 0.0),
    ),
    Function(
        "import boto3 of the runtime",
        BOTO3.format(define="async def"),
        BOTO3.format(define="def"),
        of_runtime=("boto3",),
        bars=(1.12, 0.0),
    ),
    Function(
        "FastAPI by okibi's adapter, there by Mangum",
        FASTAPI,
        BY_MANGUM,
        ("fastapi", "mangum"),
        payload=HTTP_EVENT,
        bars=(1.0, 0.0),
    ),
    Function(
        "GetItem by TLS, there by boto3",
        GET_ITEM,
        GET_ITEM_BY_BOTO3,
        theirs_too=("boto3",),
        by_tls=True,
        bars=(0.55, 0.0),
    ),
    Function(
        "one call of an entity by TLS, there GetItem by boto3",
        CART,
        GET_ITEM_BY_BOTO3,
        theirs_too=("boto3",),
        by_tls=True,
        bars=(0.55, 0.0),
        environment={"OKIBI_ENTITIES": "entities"},
    ),
)
MEMORY_BAR = 1.3
VARIANTS: Mapping[str, Parts] = {
    "okibi": Parts(),
    "without the user's part": Parts(others=False),
    "without classes of attrs": Parts(attrs=False),
    "without patterns and namedtuples": Parts(patterns=False),
    "without modules": Parts(modules=False),
    "without image": Parts(modules=False, attrs=False, patterns=False),
}


@attrs.frozen
class Package:
    """An unpacked package and how to start it.

    Args:
        name: the name in the table.
        command: starts the runtime.
        variables: environment variables.
        payload: the event.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = attrs.field(hash=False)
    payload: str


@attrs.frozen
class Start:
    """One start: milliseconds of the processor and of the clock, and MiB of memory."""

    cpu: float
    wall: float
    memory: float


def start(package: Package, *, cold: bool) -> Start:
    """Start a package and measure it until its first answer.

    Args:
        package: the package.
        cold: whether to drop the page cache before.
    """
    if cold:
        os.sync()
        DROP.write_text("3\n")
    with answered(package) as (pid, cpu, wall):
        return Start(cpu * 1000, wall * 1000, tree_memory(pid) / MIB)


def count_instructions(package: Package) -> float:
    """Return the millions of instructions of a start until its first answer, in user space."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        before = ("valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={out}")
        variables = {**package.variables, "PYTHONHASHSEED": "0"}
        counted = attrs.evolve(package, command=(*before, *package.command), variables=variables)
        with answered(counted) as (pid, _, _):
            subprocess.run(["callgrind_control", "-d", str(pid)], check=True, capture_output=True)
            dumped, until = Path(f"{out}.1"), time.monotonic() + 10
            while not (found := re.search(r"^totals: (\d+)$", read(dumped), re.MULTILINE)):
                if time.monotonic() > until:
                    raise SystemExit(f"valgrind has not counted the start of {package.name}")
                time.sleep(0.05)
    return int(found[1]) / 1e6


def read(file: Path) -> str:
    """Return a text, or nothing of a file that does not exist yet."""
    return file.read_text() if file.exists() else ""


@contextmanager
def answered(package: Package) -> Generator[tuple[int, float, float]]:
    """Start a package, and let it wait after its first answer.

    Yields the process, and its seconds of the processor and of the clock until the answer.

    Raises:
        SystemExit: the runtime did not answer.
    """
    folder = package.variables["LAMBDA_TASK_ROOT"]
    with (
        # Closed last: the process would complain about its closed connection.
        ExitStack() as connections,
        start_runtime(package.command, package.variables, cwd=folder) as listener,
    ):
        try:
            connection = connections.enter_context(listener.runtime())
            requests = Requests(len(package.payload))
            requests.attach(connection)
            requests.until_next()
            given = event(0, len(package.payload))
            connection.sendall(given.head + tail(package.payload.encode()))
            while not requests.answers():
                pass
            pid = listener.process.pid
            wall, cpu = time.perf_counter() - listener.began, cpu_seconds(pid)
            if not requests.begins(given.answer):
                raise SystemExit(f"{package.name}: {requests.line()}: {requests.body()[:500]!r}")
            yield pid, cpu, wall
            connection.sendall(STATUS)
        except (ConnectionClosed, OSError) as error:
            raise SystemExit(f"{package.name} did not answer: {error!r}") from None


def make_slow_group(stack: ExitStack) -> Path | None:
    """Make a control group that has 1/14 of a core, until the stack is left; None if refused."""
    for root, quota in QUOTAS:
        group = root / f"okibi-cold-{os.getpid()}"
        if (root / "cgroup.procs").exists():
            with suppress(OSError):
                group.mkdir()
                stack.callback(group.rmdir)
                for name, text in quota.items():
                    (group / name).write_text(text)
                return group
    return None


# -- packages


def clean_python(python: str, work: Path, packages: Sequence[str] = ()) -> Path:
    """Return a Python without the packages of this machine, as on Lambda.

    Args:
        python: the version.
        work: gets the Python.
        packages: packages that it has.

    Raises:
        SystemExit: there is no such Python here, or a package cannot be installed.
    """
    folder = work / "python"
    done = subprocess.run(
        [find_uv(), "venv", "--quiet", "--no-project", "--python", python, str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"no Python {python}: {done.stderr.strip()}")
    program = folder / "bin" / "python"
    if packages:
        install(packages, "--python", str(program), "--compile-bytecode")
    return program


def install(packages: Sequence[str], *options: str) -> None:
    """Install packages.

    Raises:
        SystemExit: a package cannot be installed.
    """
    command = [find_uv(), "pip", "install", "--quiet", "--only-binary", ":all:", *options]
    done = subprocess.run([*command, *packages], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{', '.join(packages)} cannot be installed: {done.stderr.strip()}")


def build_ours(
    function: Function, python: str, program: Path, work: Path, names: Sequence[str]
) -> list[Package]:
    """Build okibi's packages of a function, one for each variant."""
    source = work / "project"
    source.mkdir(parents=True)
    (source / "app.py").write_text(function.ours)
    (source / "requirements.txt").write_text("\n".join(function.requirements))
    target = parse_target(python, os.uname().machine, "managed")
    (work / "build").mkdir()
    staged = stage(find_project(source), "app.handler", target, work / "build").staged
    packages = list[Package]()
    for name in names:
        folder = work / name.replace(" ", "-").replace("'", "")
        shutil.copytree(staged.folder, folder)
        copy = attrs.evolve(staged, folder=folder, lib=folder / "lib")
        if name != "without image":
            added = add_start_image(
                copy, record=True, environment=function.environment, parts=VARIANTS[name]
            )
            print(f"  {function.name}, {name}: {added.line}")
        packages.append(ours(name, copy, program, function.payload))
    return packages


def build_bundled(function: Function, python: str, program: Path, work: Path) -> Package:
    """Build the package that brings this Python, with the standard library in its image.

    `build_ours` has written the project.
    """
    # This machine's Python may need a newer C library than Lambda has.
    target = attrs.evolve(parse_target(python, os.uname().machine, "bundled"), glibc=(99, 0))
    build = work / "build-bundled"
    build.mkdir()
    project = find_project(work / "project")
    staged = stage(project, "app.handler", target, build, program.resolve()).staged
    print(f"  {function.name}, bundled: {add_start_image(staged, record=True).line}")
    package = ours("bundled", staged, staged.folder / "bin" / "python3", function.payload)
    variables = {**package.variables, "LD_LIBRARY_PATH": str(staged.lib)}
    return attrs.evolve(package, variables=variables)


def ours(name: str, staged: Staged, program: Path, payload: str) -> Package:
    """Return how to start a package of okibi."""
    command = (str(program), "-P", str(staged.lib / "okibi_start.py"))
    variables = environment(staged.folder, str(staged.lib))
    return Package(name, command, variables, payload)


def build_theirs(function: Function, program: Path, work: Path) -> Package:
    """Build the official client's package: the same wheels, the same kind of bytecode."""
    folder = work / "official"
    folder.mkdir(parents=True)
    wanted = ["awslambdaric", *function.requirements, *function.theirs_too]
    install(wanted, "--target", str(folder), "--python", str(program))
    (folder / "app.py").write_text(function.theirs)
    files = [file.relative_to(folder).as_posix() for file in folder.rglob("*.py")]
    variables = environment(folder, str(folder))
    if function.theirs_is_compiled:
        compile_package(folder, files, program)
    else:
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
    command = (str(program), "-m", "awslambdaric", "app.handler")
    return Package("awslambdaric", command, variables, function.payload)


def environment(folder: Path, path: str) -> dict[str, str]:
    """Return the variables of a process, as on Lambda."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "en_US.UTF-8",
        "PYTHONPATH": path,
        "LAMBDA_TASK_ROOT": str(folder),
        "_HANDLER": "app.handler",
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/function",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    }


# -- tables


def measure_starts(
    packages: Sequence[Package], rounds: int, *, cold: bool
) -> dict[str, list[Start]]:
    """Start packages in turn."""
    for package in packages:
        start(package, cold=False)
    taken = measure_in_turn(packages, rounds, lambda package: start(package, cold=cold))
    return {package.name: found for package, found in taken.items()}


def rows_of(
    function: Function, taken: Mapping[str, Sequence[Start]], *, cold: bool
) -> list[RatioRow]:
    """Build a function's rows: processor, clock and memory of each package of okibi."""
    theirs = taken["awslambdaric"]
    rows = list[RatioRow]()
    for name, found in taken.items():
        if name == "awslambdaric":
            continue
        for what, bar in (("cpu", function.bars[cold]), ("wall", 0.0), ("memory", MEMORY_BAR)):
            pair = [[getattr(each, what) for each in side] for side in (found, theirs)]
            unit = "MiB" if what == "memory" else "ms"
            is_judged = bar and name == "okibi" and (what == "cpu" or not cold)
            group = f"{function.name}, {'page cache dropped' if cold else 'warm page cache'}"
            bars = (bar if is_judged else None, None)
            rows.append(compare(group, f"{name}: {what}", pair, unit, bars))
    return rows


def instruction_rows(group: str, packages: Sequence[Package]) -> list[RatioRow]:
    """Count the instructions of a start of each package."""
    if shutil.which("valgrind") is None:
        return [RatioRow(group, "instructions", (), told="valgrind is not installed")]
    counts = {package.name: count_instructions(package) for package in packages}
    theirs = counts.pop("awslambdaric")
    return [
        RatioRow(
            group, f"{name}: instructions", (),
            told=f"{ours:.1f} of {theirs:.1f} million {ours / theirs:9.2f}",
        )
        for name, ours in counts.items()
    ]  # fmt: skip


def slow_row(group: str, packages: Sequence[Package], rounds: int, bar: float) -> RatioRow:
    """Start okibi and the official client in turn with 1/14 of a core."""
    name = "okibi: wall, 1/14 of a core"
    with ExitStack() as stack:
        procs = make_slow_group(stack)
        if procs is None:
            return RatioRow(group, name, (), told="no control group with a quota: this needs root")
        enter = ("/bin/sh", "-c", 'echo $$ > "$0"; exec "$@"', str(procs / "cgroup.procs"))
        slow = [
            attrs.evolve(each, command=(*enter, *each.command))
            for each in packages
            if each.name in ("okibi", "awslambdaric")
        ]
        taken = measure_starts(slow, rounds, cold=False)
    pair = [[each.wall for each in taken[side]] for side in ("okibi", "awslambdaric")]
    return compare(group, name, pair, "ms", (bar, None), digits=0)


def main() -> None:
    """Run `make cold`.

    Raises:
        SystemExit: a bar is missed, or a package cannot be built.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.packaged_starts", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=ROUNDS)
    parser.add_argument("--python", default="3.13")
    parser.add_argument("--only", default="", help="functions of which the name contains this")
    parser.add_argument("--share", action="store_true", help="also without parts of the image")
    parser.add_argument("--bundled", action="store_true", help="also the format bundled")
    parser.add_argument("--cold", action="store_true", help="drop the page cache before each start")
    options = parser.parse_args()
    if options.cold and not os.access(DROP, os.W_OK):
        raise SystemExit(f"--cold needs the right to write to {DROP}")
    names = [*VARIANTS] if options.share else ["okibi"]
    met = True
    for function in FUNCTIONS:
        if options.only not in function.name:
            continue
        with ExitStack() as stack:
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="okibi-cold-"))
            try:
                program = clean_python(options.python, Path(work), function.of_runtime)
                packages = build_ours(function, options.python, program, Path(work), names)
            except BadInput as error:
                raise SystemExit(str(error)) from None
            if options.bundled and not function.of_runtime:
                packages.append(build_bundled(function, options.python, program, Path(work)))
            packages.append(build_theirs(function, program, Path(work)))
            if function.by_tls:
                dynamodb = stack.enter_context(played_dynamodb())
                more = {**dynamodb, **function.environment}
                packages = [
                    attrs.evolve(each, variables={**each.variables, **more}) for each in packages
                ]
            rows = rows_of(
                function,
                measure_starts(packages, options.rounds, cold=options.cold),
                cold=options.cold,
            )
            group = rows[0].group
            if not options.cold:
                rows += instruction_rows(group, packages)
            if function.slow_bar and not options.cold:
                rows.append(slow_row(group, packages, options.rounds, function.slow_bar))
        print(f"\n{group}, okibi / awslambdaric")
        for row in rows:
            print(row, flush=True)
        met = met and all(row.met for row in rows)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
