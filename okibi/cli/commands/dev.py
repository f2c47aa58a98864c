"""The subcommand `okibi dev` and its options."""

from typing import Annotated

import typer

__all__ = ["EXAMPLES", "dev"]

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
    str | None,
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
Port = Annotated[str, typer.Option(metavar="N", help="Port of all calls; 0 picks a free one.")]
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
    str | None,
    typer.Option(metavar="FILE", help="Environment variables of all functions, e.g. .env."),
]
Concurrency = Annotated[
    str, typer.Option(metavar="N", help="Sandboxes of each function at most; more events wait.")
]
ManagedInstances = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="Events at once in one sandbox, as on Lambda Managed Instances."
    ),
]
TimeoutOfAll = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="S", help="Time-out of all functions in seconds. Default: their own."
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
    str | None,
    typer.Option(metavar="FOLDER", help="Keep asynchronous events there. Default: in memory."),
]
RetryDelay = Annotated[
    str,
    typer.Option(
        metavar="S",
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
    port: Port = "9000",
    host: Host = "127.0.0.1",
    allow_host: AllowedHosts = None,
    env_file: EnvFile = None,
    concurrency: Concurrency = "10",
    managed_instances: ManagedInstances = None,
    timeout: TimeoutOfAll = None,
    freeze: Freeze = True,
    reload: Reload = True,
    watch: Watch = None,
    attach: Attach = None,
    data: Data = None,
    retry_delay: RetryDelay = "1",
    aws: ShellIdentity = False,
    profile: Profile = None,
) -> None:
    """Serve functions on this machine, as Lambda would, until Ctrl-C.

    One port serves Lambda's API (boto3, AWS CLI), function URLs and routes. Saved files are
    reloaded, and schedules run. The log goes to stdout.

    Exit code: 130 after Ctrl-C, 2 for bad input.
    """
    from ..dev.command import dev
    from ..dev.options import RawDevOptions

    raw = RawDevOptions(
        function=function, template=template, parameters=parameter or (), port=port, host=host,
        allow_hosts=allow_host or (), env_file=env_file, concurrency=concurrency,
        managed_instances=managed_instances, timeout=timeout, freeze=freeze, reload=reload,
        watch=watch or (), attach=attach, data=data, retry_delay=retry_delay, aws=aws,
        profile=profile,
    )  # fmt: skip
    raise typer.Exit(dev(raw))
