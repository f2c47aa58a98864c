"""Parse the arguments of the command line; report bad ones in one line."""

import math
from contextlib import suppress
from pathlib import Path

from .bad_input import BadInput

# Open files of a server: as many as macOS allows at most.
OPEN_FILES = 10_240


def parse_number(text: str) -> float:
    """Parse a number; NaN if the text is not one."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def parse_integer(
    option: str, text: str, least: int, most: int | None = None, *, example: int, unit: str = ""
) -> int:
    """Parse an integer.

    Args:
        option: the option, such as `--repeat`.
        text: the option's text.
        least: the least value.
        most: the largest value; None for no limit.
        example: a value for the error.
        unit: the unit of the value, for the error.

    Raises:
        BadInput: the text is no integer in these limits.
    """
    number = parse_number(text)
    if number.is_integer() and least <= number <= (math.inf if most is None else most):
        return int(number)
    limits = f">= {least}" if most is None else f"from {least} to {most}"
    raise BadInput(
        f"{option} {text}: must be an integer {limits}{unit and f' ({unit})'}, as in {option}"
        f" {example}"
    )


def parse_seconds(option: str, text: str, *, example: str, zero: bool = False) -> float:
    """Parse a number of seconds.

    Args:
        option: the option, such as `--timeout`.
        text: the option's text.
        example: a value for the error.
        zero: whether 0 is allowed.

    Raises:
        BadInput: the text is no such number.
    """
    seconds = parse_number(text)
    if not 0 <= seconds < math.inf or (seconds == 0 and not zero):
        limit = ">= 0" if zero else "> 0"
        raise BadInput(f"{option} {text}: must be seconds {limit}, as in {option} {example}")
    return seconds


def find_current_folder() -> Path:
    """Return the current folder.

    Raises:
        BadInput: the folder has been removed.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise BadInput(
            "the current folder has been removed; run cd to the folder of the function"
        ) from error


def check_platform() -> None:
    """Check that this system can serve functions.

    Raises:
        BadInput: the system is Windows.
    """
    # Not at the top: this import takes longer than all else here, and most options need none.
    from ..runtime.settings import UNSUPPORTED_SYSTEM, is_supported_system

    if not is_supported_system():
        raise BadInput(UNSUPPORTED_SYSTEM)


def check_open_files(number: int, argument: str, alternative: str = "") -> None:
    """Check that the process may open a number of files.

    Args:
        number: the number of files.
        argument: the command or option that needs them.
        alternative: the end of the error: another cure than a higher limit.

    Raises:
        BadInput: the limit of the process is lower.
    """
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and number > allowed:
        raise BadInput(
            f"{argument}: needs {number} open files, but the limit is {allowed};"
            f" run `ulimit -n {number}` first{alternative}"
        )


def raise_open_files_limit() -> None:
    """Raise the limit of open files to OPEN_FILES, or as far as the system allows.

    macOS sets 256. A server needs one for each client, and several for each sandbox.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
