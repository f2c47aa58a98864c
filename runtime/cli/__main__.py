"""The command `okibi`."""

import sys
from typing import Annotated

__all__ = ["main"]

EXTRA_MISSING = "okibi: {} needs {}, which is not installed; pip install 'okibi[cli]'"


def main() -> int:
    """Run the command line; the exit code."""
    try:
        return _run()
    except KeyboardInterrupt:
        return 130


def _run() -> int:
    try:
        import typer
    except ImportError as error:
        print(EXTRA_MISSING.format("the command line", error.name), file=sys.stderr)
        return 1

    app = typer.Typer(
        name="okibi", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )

    def tell_version(asked: bool) -> None:
        if asked:
            from runtime.cli.version import tell

            raise typer.Exit(tell())

    @app.callback()
    def okibi(  # pyright: ignore[reportUnusedFunction]
        _version: Annotated[
            bool,
            typer.Option(
                "--version", callback=tell_version, is_eager=True, help="print okibi's version"
            ),
        ] = False,
    ) -> None:
        """An AWS Lambda runtime for Python made of actors."""

    @app.command("invoke")
    def _(  # pyright: ignore[reportUnusedFunction]
        handler: Annotated[str, typer.Argument(help="module.name, as app.function")],
        event: Annotated[
            str | None, typer.Argument(help="JSON, or a file of it, or - for stdin; {} without it")
        ] = None,
        # Numbers are read by the command itself, whose errors are one sentence each.
        repeat: Annotated[str, typer.Option(metavar="N", help="how many invocations")] = "1",
        timeout: Annotated[str, typer.Option(metavar="S", help="seconds for each")] = "3",
    ) -> None:
        """Invoke a function of the current folder on a local Lambda.

        Answers go to stdout, one a line; logs and reports to stderr. The exit code is 0 if all
        answers are good, 1 if one is a function error, 2 if the input is bad.
        """
        from runtime.cli.invoke import invoke

        raise typer.Exit(invoke(handler, event, repeat=repeat, timeout=timeout))

    @app.command("bench")
    def _(  # pyright: ignore[reportUnusedFunction]
        handler: Annotated[str, typer.Argument(help="module.name, as app.function")],
        event: Annotated[
            str | None, typer.Argument(help="JSON, or a file of it, or - for stdin; {} without it")
        ] = None,
        rounds: Annotated[
            str | None, typer.Option(metavar="N", help="how often all is measured; 5 without it")
        ] = None,
        duration: Annotated[
            str | None, typer.Option(metavar="S", help="seconds of each round; 1 without it")
        ] = None,
        quick: Annotated[bool, typer.Option("--quick", help="a look, in a few seconds")] = False,
        timeout: Annotated[str, typer.Option(metavar="S", help="seconds for each event")] = "3",
        concurrency: Annotated[
            str, typer.Option(metavar="N,N", help="events at once, as 1,4,16,64")
        ] = "1",
        peer: Annotated[
            str | None, typer.Option(metavar="NAME", help="beside it, in turn: awslambdaric")
        ] = None,
        peer_handler: Annotated[
            str | None, typer.Option(metavar="HANDLER", help="what the peer serves, if another")
        ] = None,
        allow_errors: Annotated[
            bool, typer.Option("--allow-errors", help="measure answers that are errors too")
        ] = False,
        rate: Annotated[
            str, typer.Option(help="of the costs, as 10/s, 20k/day, 3M/month")
        ] = "1M/month",
        memory_size: Annotated[
            str | None, typer.Option(metavar="MB", help="of the costs; what it takes, without it")
        ] = None,
        prices: Annotated[
            str | None, typer.Option(metavar="FILE", help="in the place of okibi's own")
        ] = None,
        json: Annotated[str | None, typer.Option(metavar="FILE", help="write the report")] = None,
        markdown: Annotated[
            str | None, typer.Option(metavar="FILE", help="write the report")
        ] = None,
        plots: Annotated[
            str | None, typer.Option(metavar="FOLDER", help="draw it, as SVG and PNG")
        ] = None,
    ) -> None:
        """Measure a function of the current folder, served by a real bootstrap process.

        The table goes to stdout. The exit code is 0, 1 if answers were errors (unless they are
        allowed), 2 if it cannot be measured.
        """
        try:
            import rich as rich
        except ImportError as error:
            print(EXTRA_MISSING.format("okibi bench", error.name), file=sys.stderr)
            raise typer.Exit(1) from error
        from runtime.cli.bench.command import bench
        from runtime.cli.bench.order import Given

        given = Given(
            rounds=rounds, duration=duration, quick=quick, timeout=timeout, concurrency=concurrency,
            peer=peer, peer_handler=peer_handler, allow_errors=allow_errors, rate=rate,
            memory_size=memory_size, prices=prices, json=json, markdown=markdown, plots=plots,
        )  # fmt: skip
        raise typer.Exit(bench(handler, event, given))

    app(prog_name="okibi")
    return 0


if __name__ == "__main__":
    sys.exit(main())
