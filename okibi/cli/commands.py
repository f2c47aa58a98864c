"""The subcommands of `okibi` and their options, declared for typer.

A subcommand imports its implementation when it is called: `okibi invoke` does not import
`okibi bench`. Numbers arrive as text. The subcommands parse them, because click reports a bad
number in several lines.
"""

import sys
from typing import Annotated

import typer

__all__ = ["app"]

RICH_MISSING = "okibi: {} is not installed; run: pip install 'okibi[cli]'"

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi invoke app.handler '{"name": "Ada"}'
  okibi bench app.handler event.json --quick
  okibi package app.handler"""
INVOKE_EXAMPLES = """\b
Examples:
  okibi invoke app.handler '{"name": "Ada"}'
  okibi invoke app.handler event.json --repeat 10 --timeout 0.5
  echo '{"name": "Ada"}' | okibi invoke folder/app.handler -
  okibi invoke --remote visits event.json"""
TEMPLATE_EXAMPLES = """\b
Examples:
  okibi template app.handler
  okibi template --sam -o template.yaml
  okibi template visits --runtime provided.al2023 -o template.json"""
DEPLOY_EXAMPLES = """\b
Examples:
  okibi deploy
  okibi deploy app.handler --stack visits --region eu-central-1 --dry-run
  okibi deploy --endpoint-url http://127.0.0.1:4566 --runtime provided.al2023 --yes"""
LOGS_EXAMPLES = """\b
Examples:
  okibi logs visits
  okibi logs visits -f --since 1h
  okibi logs visits --stack visits-test"""
BENCH_EXAMPLES = """\b
Examples:
  okibi bench app.handler event.json --quick
  okibi bench app.handler event.json --peer awslambdaric --concurrency 1,16
  okibi bench app.handler event.json --rate 20k/day --markdown report.md"""
PACKAGE_EXAMPLES = """\b
Examples:
  okibi package app.function
  okibi package app.function --python 3.13 --arch arm64 -o function-arm64.zip
  okibi package shop --format image -o image
  okibi package --check function.zip --python 3.12"""
CHECK_EXAMPLES = """\b
Examples:
  okibi check app.handler
  okibi check folder/app.handler --imports"""

app = typer.Typer(
    name="okibi", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

Handler = Annotated[str, typer.Argument(help="module.name, e.g. app.handler.")]
Event = Annotated[
    str | None, typer.Argument(help="JSON, a JSON file, or - for stdin. Default: {}.")
]
Timeout = Annotated[
    str, typer.Option(metavar="S", help="Time-out of each event in seconds, e.g. 0.5.")
]


def _print_version(asked: bool) -> None:
    if asked:
        from .version import print_version

        raise typer.Exit(print_version())


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
]


@app.callback(epilog=EXAMPLES)
def okibi(_version: Version = False) -> None:
    """An AWS Lambda runtime for Python, built from actors."""


Region = Annotated[
    str | None,
    typer.Option(metavar="REGION", help="AWS region, e.g. eu-central-1. Default: the SDK's."),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="An emulator of AWS, e.g. http://127.0.0.1:4566."),
]
DeployedStack = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="Stack of okibi deploy --stack, e.g. visits-test. Default: the function's name.",
    ),
]
Remote = Annotated[
    bool, typer.Option("--remote", help="Invoke the deployed function: its name, e.g. visits.")
]


@app.command(epilog=INVOKE_EXAMPLES)
def invoke(
    handler: Handler,
    event: Event = None,
    repeat: Annotated[str, typer.Option(metavar="N", help="Number of invocations, e.g. 10.")] = "1",
    timeout: Timeout = "3",
    remote: Remote = False,
    stack: DeployedStack = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    snap_start: Annotated[
        bool, typer.Option("--snap-start", help="Start from a snapshot, as with SnapStart.")
    ] = False,
) -> None:
    """Invoke a function of the current folder on a local Lambda, or with --remote on AWS.

    Answers go to stdout, one per line. Logs go to stderr. With --remote, the function is found by
    its stack; any function's name or ARN on Lambda is good too.

    Exit code: 0 if all answers are good, 1 after a function error, 2 for bad input.
    """
    if remote:
        from .remote_invoke import invoke_remote

        code = invoke_remote(
            handler, event, repeat=repeat, stack=stack, region=region, endpoint_url=endpoint_url
        )
        raise typer.Exit(code)
    from .invoke import invoke

    raise typer.Exit(invoke(handler, event, repeat=repeat, timeout=timeout, snap_start=snap_start))


Rounds = Annotated[
    str | None,
    typer.Option(metavar="N", help="Number of rounds, e.g. 10. Default: 5, or 2 with --quick."),
]
Duration = Annotated[
    str | None,
    typer.Option(
        metavar="S", help="Seconds of each round, e.g. 0.5. Default: 1, or 0.2 with --quick."
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Measure roughly, in a few seconds.")]
Concurrency = Annotated[
    str, typer.Option(metavar="N,N", help="Numbers of events at once, e.g. 1,4,16,64.")
]
Peer = Annotated[
    str | None, typer.Option(metavar="NAME", help="Runtime to compare with, e.g. awslambdaric.")
]
PeerHandler = Annotated[
    str | None,
    typer.Option(
        metavar="HANDLER", help="Handler of the peer, e.g. app.plain. Default: the same handler."
    ),
]
AllowErrors = Annotated[
    bool, typer.Option("--allow-errors", help="Measure a function whose answers are errors.")
]
Rate = Annotated[
    str,
    typer.Option(metavar="RATE", help="Rate of the cost estimate, e.g. 10/s, 20k/day, 3M/month."),
]
MemorySize = Annotated[
    str | None,
    typer.Option(metavar="MB", help="Memory of the cost estimate, e.g. 512. Default: as measured."),
]
PriceFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Price list, e.g. prices.toml. Default: okibi's own."),
]
JsonFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write the report as JSON, e.g. report.json.")
]
MarkdownFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write the report as Markdown, e.g. report.md.")
]
PlotFolder = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Draw plots as SVG and PNG, e.g. in plots.")
]


@app.command(epilog=BENCH_EXAMPLES)
def bench(
    handler: Handler,
    event: Event = None,
    rounds: Rounds = None,
    duration: Duration = None,
    quick: Quick = False,
    timeout: Timeout = "3",
    concurrency: Concurrency = "1",
    peer: Peer = None,
    peer_handler: PeerHandler = None,
    allow_errors: AllowErrors = False,
    rate: Rate = "1M/month",
    memory_size: MemorySize = None,
    prices: PriceFile = None,
    json: JsonFile = None,
    markdown: MarkdownFile = None,
    plots: PlotFolder = None,
) -> None:
    """Measure a function of the current folder.

    A real bootstrap process serves the function. The report goes to stdout.

    Exit code: 0 if all answers are good, 1 after a function error (0 with --allow-errors), 2 if
    the function cannot be measured.
    """
    try:
        import rich as rich
    except ImportError as error:
        print(RICH_MISSING.format(error.name), file=sys.stderr)
        raise typer.Exit(1) from error
    from .bench.command import bench
    from .bench.options import RawOptions

    raw = RawOptions(
        rounds=rounds, duration=duration, quick=quick, timeout=timeout, concurrency=concurrency,
        peer=peer, peer_handler=peer_handler, allow_errors=allow_errors, rate=rate,
        memory_size=memory_size, prices=prices, json=json, markdown=markdown, plots=plots,
    )  # fmt: skip
    raise typer.Exit(bench(handler, event, raw))


PackageHandler = Annotated[
    str | None,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, or a name in [tool.okibi.functions]. Default: the only one there;"
        " without one, the start image has only what okibi imports.",
    ),
]
TargetPython = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="X.Y",
        help="Python of the function, e.g. 3.13. Default: as in pyproject.toml, else the Python"
        " that runs okibi.",
    ),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="ARCH",
        help="Processor, e.g. arm64. Default: as in pyproject.toml, else x86_64.",
    ),
]
Format = Annotated[
    str, typer.Option(metavar="FORMAT", help="What to build (see above), e.g. image.")
]
PackageFile = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="File to write, e.g. shop.zip; a folder for image and runtime. Default: function.zip,"
        " layer.zip, image or okibi-runtime, by the format.",
    ),
]
Interpreter = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="CPython for --format bundled, e.g. /opt/python3.13/bin/python3.13.",
    ),
]
Record = Annotated[
    bool,
    typer.Option(
        "--record/--no-record", help="Run the function's init once, to find what a start imports."
    ),
]
CheckedZip = Annotated[
    str | None,
    typer.Option(
        "--check", metavar="ZIP", help="Check a zip that exists instead, e.g. function.zip."
    ),
]


@app.command(epilog=PACKAGE_EXAMPLES)
def package(
    handler: PackageHandler = None,
    python: TargetPython = None,
    arch: Architecture = None,
    format: Format = "managed",  # noqa: A002 - the option's name
    interpreter: Interpreter = None,
    output: PackageFile = None,
    record: Record = True,
    check: CheckedZip = None,
) -> None:
    """Build the package of the current folder's function for Lambda.

    The requirements come from uv.lock, pyproject.toml or requirements.txt. A table of sizes goes to
    stdout.

    \b
    Formats:
      managed  a zip for Lambda's own Python
      bundled  a zip with a Python in it, for provided.al2023
      layer    a zip with okibi and the requirements, without a function
      image    a folder for docker build: a container image
      runtime  a folder for docker build: a runtime of your own, without a function

    Exit code: 0 if the package is good, 1 if a zip given to --check would not work, 2 if no package
    can be built.
    """
    from .package.command import RawOptions, package

    raw = RawOptions(
        python=python, architecture=arch, format=format, output=output, record=record, check=check,
        interpreter=interpreter,
    )  # fmt: skip
    raise typer.Exit(package(handler, raw))


Imports = Annotated[
    bool,
    typer.Option(
        "--imports", help="Show the time of each package's import, and which could be lazy."
    ),
]


@app.command(epilog=CHECK_EXAMPLES)
def check(handler: Handler, imports: Imports = False) -> None:
    """Check that a function of the current folder loads.

    The module is imported in a process of its own, with the environment of a local Lambda.

    Exit code: 0 if the function loads, 1 if it does not, 2 for bad input.
    """
    from .check.command import check

    raise typer.Exit(check(handler, imports=imports))


DeployedFunction = Annotated[
    str | None,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, or a name in [tool.okibi.functions]. Default: the only one there.",
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        metavar="RUNTIME",
        help="What starts okibi: managed (AWS's Python), provided.al2023 (the zip has a Python) or"
        " custom (runtime_config in pyproject.toml). Default: that in pyproject.toml, or managed.",
    ),
]
DeployedArchitecture = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="ARCH",
        help="Processor: x86_64 or arm64, e.g. arm64. Default: that in pyproject.toml, or x86_64.",
    ),
]
MadePackage = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A package that has been made, e.g. function.zip."),
]


@app.command(epilog=TEMPLATE_EXAMPLES)
def template(
    function: DeployedFunction = None,
    sam: Annotated[bool, typer.Option("--sam", help="SAM in place of CloudFormation.")] = False,
    runtime: Runtime = None,
    package: MadePackage = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to write, e.g. template.yaml or .json."
        ),
    ] = None,
) -> None:
    """Write a CloudFormation or SAM template of a function.

    The function's table in pyproject.toml says what belongs to it. Without a table it gets good
    defaults. The template goes to stdout, as YAML, or to a file.

    Exit code: 0, or 2 for bad input.
    """
    from .template.command import template

    code = template(function, sam=sam, runtime=runtime, package=package, output=output)
    raise typer.Exit(code)


@app.command(epilog=DEPLOY_EXAMPLES)
def deploy(
    function: DeployedFunction = None,
    stack: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Stack, e.g. visits-test. Default: the function's name."),
    ] = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    bucket: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="S3 bucket for packages. Default: okibi makes one."),
    ] = None,
    runtime: Runtime = None,
    python: TargetPython = None,
    arch: DeployedArchitecture = None,
    package: MadePackage = None,
    record: Record = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deploy a function by a CloudFormation stack.

    Shows account, region and the difference, and asks. The outputs of the stack go to stdout, one
    per line. A stack that okibi has not made for this project is refused. Without --package, okibi
    package builds the zip; it runs the function's init once on this machine.

    Exit code: 0 if the function is deployed or nothing has changed, 1 if the deployment failed or
    you said no, 2 for bad input.
    """
    from .deploy.command import deploy

    code = deploy(
        function,
        {
            "stack": stack, "region": region, "endpoint_url": endpoint_url, "bucket": bucket,
            "runtime": runtime, "python": python, "arch": arch, "package": package,
            "record": record, "dry_run": dry_run, "yes": yes,
        },
    )  # fmt: skip
    raise typer.Exit(code)


@app.command(epilog=LOGS_EXAMPLES)
def logs(
    function: DeployedFunction = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Wait for new lines until Ctrl-C.")
    ] = False,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="How far back to begin, e.g. 30s, 10m or 2h.")
    ] = "10m",
    stack: DeployedStack = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Print the log of a deployed function.

    The function is found by its stack; any function's name or ARN on Lambda is good too.

    Exit code: 0, 2 for bad input, 130 after Ctrl-C.
    """
    from .remote_logs import print_logs

    code = print_logs(
        function, follow=follow, since=since, stack=stack, region=region, endpoint_url=endpoint_url
    )
    raise typer.Exit(code)
