"""`okibi event`: print a sample event of an AWS service."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs

from ..project.bad_input import BadInput
from ..project.event_argument import read_event
from .output import write_text
from .until_signal import run_command

OUTPUT = "the event"
# The arguments of `sample_event` whose option has another name.
OPTIONS = {"bodies": "body", "headers": "header"}


@attrs.frozen
class EventOptions:
    """The arguments of `okibi event`; None, () or 1 for those not given.

    Args:
        bodies: the content of the event, or of each record.
        path: the path of a request, or the key of an object.
        method: the method of a request.
        headers: headers of a request as `name=value`.
        query: query parameters of a request as `name=value`.
        route: the route of a request.
        keys: partition keys of the records.
        groups: message groups of the messages.
        count: the number of records.
    """

    bodies: Sequence[str] = ()
    path: str | None = None
    method: str | None = None
    headers: Sequence[str] = ()
    query: Sequence[str] = ()
    route: str | None = None
    keys: Sequence[str] = ()
    groups: Sequence[str] = ()
    count: int = 1


def print_event(name: str | None, options: EventOptions) -> int:
    """Print a sample event as JSON, or the list of all samples.

    Args:
        name: the sample's name; None for the list.
        options: the content that the event must have.

    Returns:
        The exit code: 0, or 2 for bad input.
    """

    async def write(text: str) -> int:
        write_text(text, OUTPUT)
        return 0

    return run_command(OUTPUT, lambda: partial(write, _text(name, options)))


def make_sample(name: str, options: EventOptions) -> bytes:
    """Make a sample event as JSON.

    Args:
        name: the sample's name.
        options: the content that the event must have.

    Raises:
        BadInput: there is no such sample, or an option does not fit it.
    """
    # okibi invoke without a sample does not import them.
    from ..local.services.sample_events import SampleError, sample_event

    try:
        event = sample_event(
            name,
            **_contents(options.bodies),
            path=options.path or "",
            method=options.method or "",
            headers=_parse_pairs("--header", options.headers),
            query=_parse_pairs("--query", options.query),
            route=options.route or "",
            key=options.keys,
            group=options.groups,
            count=options.count,
        )
    except SampleError as error:
        raise BadInput(_name_options(str(error))) from error
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def read_event_or_sample(source: str | None, sample: str | None) -> bytes:
    """Read the event of `okibi invoke`.

    Args:
        source: JSON, the path of a JSON file, "-" for stdin, or None for `{}` (`read_event`).
        sample: the name of a sample event, or None.

    Raises:
        BadInput: source and sample are both given, or the given one is wrong.
    """
    if sample is None:
        return read_event(source)
    if source is not None:
        raise BadInput(f"give an event or --sample {sample}, not both")
    return make_sample(sample, EventOptions())


def _text(name: str | None, options: EventOptions) -> str:
    from ..local.services.sample_events import describe_samples

    if name is not None:
        return make_sample(name, options).decode() + "\n"
    if options != EventOptions():
        raise BadInput("give the name of a sample too; okibi event alone lists them")
    return "\n".join(describe_samples()) + "\n"


def _contents(bodies: Sequence[str]) -> dict[str, Any]:
    return {"bodies": bodies} if len(bodies) > 1 else {"body": next(iter(bodies), None)}


def _parse_pairs(option: str, texts: Sequence[str]) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BadInput(f"{option} {text}: must be name=value, as in {option} a=1")
        pairs.setdefault(name, []).append(value)
    return pairs


def _name_options(message: str) -> str:
    """Name the option in an error that begins with an argument of `sample_event`."""
    argument, colon, rest = message.partition(":")
    if not colon or not argument.isidentifier():
        return message
    return f"--{OPTIONS.get(argument, argument)}:{rest}"
