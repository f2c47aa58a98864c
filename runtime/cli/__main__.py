"""The command `okibi`."""

import sys
from typing import Annotated

__all__ = ["main"]

EXTRA_MISSING = (
    "okibi: the command line needs typer, which is not installed; pip install 'okibi[cli]'"
)


def main() -> int:
    """Run the command line; the exit code."""
    try:
        return _run()
    except KeyboardInterrupt:
        return 130


def _run() -> int:
    try:
        import typer
    except ImportError:
        print(EXTRA_MISSING, file=sys.stderr)
        return 1

    from runtime.cli.invoke import invoke

    app = typer.Typer(
        name="okibi", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )

    @app.callback()
    def okibi() -> None:  # pyright: ignore[reportUnusedFunction]
        """An AWS Lambda runtime for Python made of actors."""
        # With a callback typer keeps a single command's name: it is `okibi invoke`, not `okibi`.

    @app.command("invoke")
    def _(  # pyright: ignore[reportUnusedFunction]
        handler: Annotated[str, typer.Argument(help="module.name, as app.function")],
        event: Annotated[
            str | None, typer.Argument(help="a JSON file, or - for stdin; {} without it")
        ] = None,
        # Numbers are read by the command itself, whose errors are one sentence each.
        repeat: Annotated[str, typer.Option(metavar="N", help="how many invocations")] = "1",
        timeout: Annotated[str, typer.Option(metavar="S", help="seconds for each")] = "3",
    ) -> None:
        """Invoke a function of the current folder on a local Lambda.

        Answers go to stdout, one a line; logs and reports to stderr. The exit code is 0 if all
        answers are good, 1 if one is a function error, 2 if the input is bad.
        """
        raise typer.Exit(invoke(handler, event, repeat=repeat, timeout=timeout))

    app(prog_name="okibi")
    return 0


if __name__ == "__main__":
    sys.exit(main())
