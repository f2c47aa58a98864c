"""`okibi --version`."""

from importlib.metadata import version

from .output import write_out
from .until_signal import exit_code_of

__all__ = ["tell"]


def tell() -> int:
    """Print it; the exit code."""

    async def print_it() -> int:
        write_out(f"okibi {version('okibi')}\n".encode(), "the version goes")
        return 0

    return exit_code_of("the version goes", lambda: print_it)
