"""The subcommand `okibi dev` and its options."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ...project.arguments import check_platform, parse_integer, parse_seconds

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi dev app.handler
  okibi dev --port 0 --env-file .env
  okibi dev --template template.yaml --parameter Stage=dev
  okibi dev visits --attach visits"""

ServedFunction = Annotated[
    str | None,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, or a function's name. Default: all functions of pyproject.toml, or else"
        " of the template.",
    ),
]
Template = Annotated[
    Path | None,
    typer.Option(
        "--template",
        "-t",
        metavar="FILE",
        help="A SAM or CloudFormation template with the functions, as YAML or JSON. Default:"
        " template.yaml, .yml or .json of this folder.",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", metavar="NAME=VALUE", help="Of the template. Repeat for more."),
]
Port = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=lambda text: parse_integer("--port", text, 0, 65_535, example=9001),
        help="Port of all calls; 0 picks a free one.",
    ),
]
Host = Annotated[
    str, typer.Option(metavar="HOST", help="Address to listen on. Callers are not authenticated.")
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        metavar="NAME",
        help="Host name that clients may use, e.g. host.docker.internal. Repeat for more.",
    ),
]
EnvFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Environment variables of all functions, e.g. .env."),
]
Concurrency = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=lambda text: parse_integer("--concurrency", text, 1, 1000, example=8),
        help="Sandboxes of each function at most; more events wait.",
    ),
]
ManagedInstances = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=lambda text: parse_integer("--managed-instances", text, 1, 1600, example=16),
        help="Events at once in one sandbox, as on Lambda Managed Instances.",
    ),
]
TimeoutOfAll = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="S",
        parser=lambda text: parse_seconds("--timeout", text, example="3"),
        help="Time-out of all functions in seconds. Default: their own.",
    ),
]
Freeze = Annotated[
    bool,
    typer.Option("--freeze/--no-freeze", help="Stop idle sandboxes (SIGSTOP), as Lambda does."),
]
Reload = Annotated[
    bool,
    typer.Option("--reload/--no-reload", help="Serve changed Python files when they are saved."),
]
Watch = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Files that are reloaded besides Python's, e.g. 'templates/*'. Repeat for more.",
    ),
]
Attach = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Function whose runtime you start under a debugger."),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Keep asynchronous events there. Default: in memory."),
]
RetryDelay = Annotated[
    float,
    typer.Option(
        metavar="S",
        parser=lambda text: parse_seconds("--retry-delay", text, example="3", zero=True),
        help="Seconds before the first retry of an asynchronous event; Lambda's are 60.",
    ),
]
ShellIdentity = Annotated[
    bool,
    typer.Option("--aws", help="Give the functions your shell's AWS identity. Default: none."),
]
Profile = Annotated[
    str | None, typer.Option(metavar="NAME", help="Give the functions this AWS profile.")
]


def dev(
    function: ServedFunction = None,
    template: Template = None,
    parameter: Parameters = None,
    port: Port = 9000,
    host: Host = "127.0.0.1",
    allow_host: AllowedHosts = None,
    env_file: EnvFile = None,
    concurrency: Concurrency = 10,
    managed_instances: ManagedInstances = None,
    timeout: TimeoutOfAll = None,
    freeze: Freeze = True,
    reload: Reload = True,
    watch: Watch = None,
    attach: Attach = None,
    data: Data = None,
    retry_delay: RetryDelay = 1,
    aws: ShellIdentity = False,
    profile: Profile = None,
) -> int:
    """Serve functions on this machine, as Lambda would, until Ctrl-C.

    One port serves Lambda's API (boto3, AWS CLI), function URLs and routes. Saved files are
    reloaded, and schedules run. The log goes to stdout.

    Exit code: 130 after Ctrl-C, 2 for bad input.
    """
    from ...dev.aws_identity import choose_identity
    from ...dev.dev_server import DevServerOptions
    from ...dev.env_file import read_env_file
    from ...dev.served_functions import change_functions, find_functions
    from ..dev_output.line_printer import OUTPUT
    from ..serve_dev import DevOptions, serve
    from ..until_signal import run_command

    def prepare(unpacked: Path) -> Callable[[], Awaitable[int]]:
        check_platform()
        identity = choose_identity(os.environ, aws=aws, profile=profile)
        variables = {} if env_file is None else read_env_file(str(env_file))
        source, functions, left_out = find_functions(function, template, parameter or (), unpacked)
        functions = change_functions(
            functions, identity, timeout=timeout, max_concurrency=managed_instances,
            concurrency=concurrency, freeze=freeze, attach=attach,
        )  # fmt: skip
        server = DevServerOptions(
            port=port, host=host, allowed_hosts=tuple(allow_host or ()), data=data,
            retry_delay=retry_delay, temporary=unpacked,
        )  # fmt: skip
        options = DevOptions(
            functions=functions, left_out=left_out, server=server, identity=identity,
            reload=reload, watch=watch or (), env_file=env_file, variables=variables, source=source,
        )  # fmt: skip
        return partial(serve, options)

    with TemporaryDirectory(prefix="okibi-dev-") as folder:
        return run_command(OUTPUT, lambda: prepare(Path(folder)), second_signal_kills=True)
