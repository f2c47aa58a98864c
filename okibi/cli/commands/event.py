"""The subcommand `okibi event` and its options."""

from typing import Annotated

import typer

from ...project.arguments import parse_integer

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi event
  okibi event http-api --path /visits --method POST --body '{"name": "Ada"}'
  okibi event sqs --body '{"order": 1}' --count 3 > event.json
  okibi event kinesis --body first --body second --key a --key b
  okibi event s3 --path photos/cat.jpg | okibi invoke app.handler -"""


def complete_sample(incomplete: str) -> list[str]:
    """Return the samples whose names begin as typed, for the shell's completion.

    Args:
        incomplete: the typed part of the name.
    """
    from ...local.services.sample_events import SAMPLES

    return [name for name in SAMPLES if name.startswith(incomplete)]


def event(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SAMPLE",
            help="Name of the sample, e.g. sqs. Without it, the names are listed.",
            show_default=False,
            autocompletion=complete_sample,
        ),
    ] = None,
    body: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Content: a request's body, a message, an item. Repeat for more records.",
        ),
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Path of a request, or key of an S3 object.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="Method of a request. Default: GET; POST with a body."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Header of a request. Can be repeated."),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Query parameter. Can be repeated."),
    ] = None,
    route: Annotated[
        str | None,
        typer.Option(metavar="ROUTE", help="Route that takes the path, e.g. '/visits/{name}'."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Partition key of a record. Repeat to give each record its own."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP", help="Group of a message (FIFO). Repeat to give each its own."
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option(
            metavar="N",
            parser=lambda text: parse_integer("--count", text, 1, example=3),
            help="Number of records, e.g. 3. Default: 1.",
            show_default=False,
        ),
    ] = 1,
) -> None:
    """Print a sample event of an AWS service as JSON.

    Exit code: 0, 2 for bad input.
    """
    from ..print_event import EventOptions, print_event

    options = EventOptions(
        body or (), path, method, header or (), query or (), route, key or (), group or (), count
    )
    raise typer.Exit(print_event(name, options))
