"""`okibi dev`: serve functions on this machine until Ctrl-C."""

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs
import trio

from ..dev.asynchronous.event_file import EventFileError
from ..dev.asynchronous.private_files import FolderInUse
from ..dev.aws_identity import AwsIdentity, describe_identity
from ..dev.dev_function import DevFunction
from ..dev.dev_server import DevServer, DevServerOptions, open_dev_server
from ..dev.env_file import read_env_file
from ..dev.left_out import LeftOut
from ..dev.scheduler import Scheduler
from ..dev.served_functions import add_variables
from ..dev.source_changes import FOLDER_LIMIT, watch_sources
from ..project.arguments import raise_open_files_limit
from ..project.bad_input import BadInput
from .dev_output.colours import Colour, Paint, is_coloured
from .dev_output.event_lines import EventLines, Happening, describe_queued
from .dev_output.line_printer import LinePrinter
from .dev_output.start_table import Serving, make_start_table

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@attrs.frozen
class DevOptions:
    """The options of `okibi dev`.

    Args:
        functions: the functions, without the variables of --env-file.
        left_out: features that `okibi dev` ignores.
        server: the options of the server.
        identity: the AWS identity of the sandboxes.
        reload: whether saved files are reloaded.
        watch: patterns of files that are reloaded besides Python's.
        env_file: the file of --env-file.
        variables: the content of the file.
        source: the file that describes the functions: pyproject.toml or the template.
    """

    functions: Sequence[DevFunction]
    left_out: Sequence[LeftOut]
    server: DevServerOptions
    identity: AwsIdentity
    reload: bool
    watch: Sequence[str]
    env_file: Path | None
    variables: Mapping[str, str] = attrs.field(repr=False)
    source: Path


async def serve(options: DevOptions) -> int:
    """Serve functions until cancelled. Then print the events that have not ended.

    Raises:
        BadInput: the port is in use, or the events cannot be kept.
    """
    raise_open_files_limit()
    paint = Paint(is_coloured(sys.stdout))
    printer = LinePrinter()
    folders = {function.name: function.settings.task_root for function in options.functions}
    events = EventLines(folders, paint)

    def report(happening: Happening) -> None:
        printer.write(events.lines(happening))

    functions = add_variables(options.functions, options.variables)
    settings = attrs.evolve(options.server, report=report)
    opened = list[DevServer]()
    try:
        async with open_dev_server(functions, settings) as server, trio.open_nursery() as nursery:
            opened.append(server)
            if options.reload:
                # A file that is saved once the first lines are printed is seen.
                watching = trio.Event()
                nursery.start_soon(_reload, options, server, printer, paint, watching.set)
                await watching.wait()
            printer.write_first(_start_lines(options, server, paint))
            nursery.start_soon(printer.run, nursery.cancel_scope)
            nursery.start_soon(Scheduler(functions, server.queue.put).run)
            await trio.sleep_forever()
    except (FolderInUse, EventFileError) as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise _bad_input(options, error) from error
    finally:
        for server in opened:
            queued = describe_queued(server.queue.counts(), options.server.data)
            printer.write([paint(line, Colour.YELLOW) for line in queued])
        printer.flush()


def _bad_input(options: DevOptions, error: OSError) -> BadInput:
    """Describe why the server cannot start."""
    server = options.server
    if error.errno == errno.EADDRINUSE:
        return BadInput(
            f"port {server.port} of {server.host} is in use; end the other program, or give"
            " another port, as in --port 9001; --port 0 picks a free one"
        )
    return BadInput(str(error))


def _start_lines(options: DevOptions, server: DevServer, paint: Paint) -> list[str]:
    serving = Serving(
        url=server.url,
        functions=options.functions,
        identity=describe_identity(options.identity, options.variables),
        reload=_list_reloaded(options),
        watch=options.watch,
        failures=server.queue.failure_folder,
        left_out=options.left_out,
        now=datetime.now(UTC),
    )
    lines = make_start_table(serving, paint)
    if options.server.host not in LOOPBACK:
        warning = (
            f"--host {options.server.host}: everyone who reaches this machine can invoke the"
            " functions without credentials"
        )
        lines.append(paint(warning, Colour.YELLOW))
    for name, pool in server.pools.items():
        if pool.function.attach:
            settings = pool.function.settings
            lines.append(f"{name} waits for its runtime; start it in {settings.task_root}:")
            variable = f"AWS_LAMBDA_RUNTIME_API={pool.runtime_api}"
            lines.append(f"  {variable} python -m okibi.runtime {settings.handler}")
    for name, count in server.queue.unserved.items():
        lines.append(f"{count} kept events of {name} wait: no function has that name now")
    return lines


# -- changed files


def _list_reloaded(options: DevOptions) -> list[Path]:
    """List the folders of code, without those made for inline code and zips."""
    made = options.server.temporary
    roots = [function.settings.task_root for function in options.functions if options.reload]
    return [root for root in roots if made is None or not root.is_relative_to(made)]


async def _reload(
    options: DevOptions,
    server: DevServer,
    printer: LinePrinter,
    paint: Paint,
    on_start: Callable[[], None],
) -> None:
    """Reload functions when their files change.

    Args:
        options: the options of the command.
        server: the server, with the pools of the functions.
        printer: prints errors and hints about reloads.
        paint: colours.
        on_start: called when the watch has begun, or has failed.
    """
    pools = [*server.pools.values()]

    def read_variables(_: Path) -> None:
        assert options.env_file is not None
        try:
            variables = read_env_file(str(options.env_file))
        except BadInput as error:
            printer.write([paint(str(error), Colour.RED)])
            return
        for function in add_variables(options.functions, variables):
            server.pools[function.name].reload([options.env_file], function)

    def ask_for_restart(path: Path) -> None:
        text = f"{path.name} changed: end okibi dev and start it again, to serve what it says now"
        printer.write([paint(text, Colour.CYAN)])

    def report_limit() -> None:
        text = f"reload: {FOLDER_LIMIT:,} folders are watched; changes deeper down are not seen"
        printer.write([paint(text, Colour.YELLOW)])

    extra: dict[Path, Callable[[Path], None]] = {options.source: ask_for_restart}
    if options.env_file is not None:
        extra[options.env_file] = read_variables
    try:
        await watch_sources(
            pools, patterns=options.watch, extra=extra, on_start=on_start, on_limit=report_limit
        )
    except OSError as error:
        printer.write([paint(f"reload is off: {error}", Colour.RED)])
        on_start()
