"""Load a function in a process of its own, and read what the process has found."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import attrs
import msgspec
import trio

from ...local import FunctionSettings
from ...local.sandbox.environment import sandbox_environment
from ..start_errors import ErrorResponse
from .connections import Connections
from .mistakes import Mistake
from .static_tree import TreeNode

# No platform listens there. An import must not need one.
NO_RUNTIME_API = "127.0.0.1:9"


@attrs.frozen
class LoadReport:
    """The facts about a function that `load_probe` has found.

    Args:
        kind: the function in a few words.
        tree: the function's supervision tree.
        mistakes: mistakes that fail the start, or each event.
        warnings: mistakes that fail when code that has not run yet runs.
        connections: the connections of the function's resources.
        needs_entity_table: whether an EntityStore has no store of its own.
        lines: the user's first line that imports each package, by package.
        files: the user's modules.
        error: the init error, if the function does not load.
    """

    kind: str = ""
    tree: TreeNode | None = None
    mistakes: Sequence[Mistake] = ()
    warnings: Sequence[Mistake] = ()
    connections: Sequence[Connections] = ()
    needs_entity_table: bool = False
    lines: Mapping[str, str] = {}
    files: Sequence[str] = ()
    error: ErrorResponse | None = None


async def load_function(
    settings: FunctionSettings, *, timed: bool = False
) -> tuple[LoadReport, str]:
    """Load the function in a new process.

    Args:
        settings: the settings of the function.
        timed: whether the process writes the times of its imports to stderr, and nothing else is
            looked for.

    Returns:
        The report, and what the process wrote to stderr.
    """
    with tempfile.TemporaryDirectory(prefix="okibi-check-") as folder:
        file = trio.Path(folder, "report.json")
        python = [sys.executable, "-P", *(["-X", "importtime"] if timed else [])]
        probe = ["-m", "okibi.project.probe.load_probe", settings.handler, str(file)]
        done = await trio.run_process(
            [*python, *probe, *([] if timed else ["all"])],
            check=False,
            stdout=subprocess.DEVNULL,
            capture_stderr=True,
            cwd=settings.task_root,
            env=sandbox_environment(settings, NO_RUNTIME_API, os.environ),
        )
        written = await file.read_bytes() if await file.exists() else b""
    if written:
        report = msgspec.json.decode(written, type=LoadReport)
    else:
        message = f"the import ended the process with code {done.returncode}"
        report = LoadReport(error=ErrorResponse("Runtime.ExitError", message))
    return report, done.stderr.decode("utf-8", "replace")
