"""The subcommands of `okibi`, declared for typer: one module each.

A subcommand imports its implementation when it is called: `okibi invoke` does not import
`okibi bench`. It returns its exit code. Options with rules have a parser that raises BadInput:
typer reports a bad number in several lines.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ...project.bad_input import BadInput
from . import bench, check, deploy, dev, event, invoke, logs, new, package, template, tree

__all__ = ["app"]

EXAMPLES = """\b
Examples:
  okibi new hello
  okibi dev app.handler
  okibi invoke app.handler '{"name": "Ada"}'
  okibi bench app.handler event.json --quick
  okibi package app.handler

\b
Environment variables of a function:
  OKIBI_LOOP                asyncio: run async handlers on an asyncio loop
  OKIBI_CRASH_REPORTS       full: show values in crash reports
  OKIBI_TRACE               full: show every frame in tracebacks
  OKIBI_DEADLINE_MARGIN_MS  answer a late event so long before its time-out
  OKIBI_BUSY_WAIT_US        poll so long for the next event; 0: never
  OKIBI_METRICS             a namespace: write failures as CloudWatch metrics
  OKIBI_PIPELINE            0: wait for the status of each response
  OKIBI_GRACEFUL_SHUTDOWN   0: register no extension, which SIGTERM needs"""


class Commands(TyperGroup):
    """Ends with the exit code of the subcommand; reports bad options in one line."""

    def invoke(self, ctx: Any) -> None:
        """Run the subcommand of a click context, whose class typer does not export."""
        try:
            code = super().invoke(ctx)
        except BadInput as error:
            from ..output import write_err
            from ..until_signal import BAD_INPUT

            write_err(f"okibi: {error}")
            code = BAD_INPUT
        raise typer.Exit(code or 0)


# A fixed width: the same help on each terminal, in a file, and in the documentation.
app = typer.Typer(
    name="okibi",
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"terminal_width": 80},
)


def _print_version(asked: bool) -> None:
    if asked:
        from ..version import print_version

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


# In the order in which a new user needs them.
app.command(epilog=new.EXAMPLES)(new.new)
app.command(epilog=dev.EXAMPLES)(dev.dev)
app.command(epilog=invoke.EXAMPLES)(invoke.invoke)
app.command(epilog=event.EXAMPLES)(event.event)
app.command(epilog=check.EXAMPLES)(check.check)
app.command(epilog=tree.EXAMPLES)(tree.tree)
app.command(epilog=bench.EXAMPLES)(bench.bench)
app.command(epilog=package.EXAMPLES)(package.package)
app.command(epilog=template.EXAMPLES)(template.template)
app.command(epilog=deploy.EXAMPLES)(deploy.deploy)
app.command(epilog=logs.EXAMPLES)(logs.logs)
