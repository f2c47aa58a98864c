"""`okibi --version`."""

from importlib.metadata import version

from .output import write_out
from .until_signal import run_command


def print_version() -> int:
    """Print the version and return the exit code."""

    async def write_version() -> int:
        write_out(f"okibi {version('okibi')}\n".encode(), "the version")
        return 0

    return run_command("the version", lambda: write_version)
