"""Read the environment variables into one value. All but the address have defaults."""

import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..actors.safe_repr import CRASH_REPORTS
from .errors.exceptions import InitError
from .protocol.runtime_api import split_address

UNSUPPORTED_SYSTEM = "functions run on Linux and macOS; on Windows, use WSL (wsl --install)"


def is_supported_system() -> bool:
    """Return whether this system has the signals and process groups that a sandbox needs."""
    return sys.platform != "win32"


class Settings(NamedTuple):
    """The runtime's environment (Runtime API: environment variables).

    Attributes:
        api: `host:port` of the Runtime API.
        handler: the handler, as `module.name`.
        task_root: the absolute path of the folder of the user's code.
        lanes: number of lanes, the number of events that may be in flight at once.
        pipelined: whether the next GET leaves with the response.
        margin: seconds before the platform's deadline at which okibi times a handler out.
        busy_wait: seconds to poll for the next event before waiting; 0 turns polling off.
        on_demand: whether the platform limits init to 10 s.
        snap_start: whether the platform takes a snapshot after init.
        ascii_only: whether the JSON of a plain `def` handler is escaped to ASCII.
        register_extension: whether okibi registers as an extension, to receive SIGTERM.
        log_level: level of the root logger; empty to leave it.
        log_json: whether to log JSON, one object per line.
        metrics: the CloudWatch namespace of the embedded metrics; empty for none.
        loop: loop of async handlers, `trio` or `asyncio`; None if OKIBI_LOOP is not set.
        function_name, function_version, memory, log_group, log_stream: values of the context
            object.
        wall_clock: returns seconds since the epoch, for the context object; None for `time.time`.
            No variable sets it.
    """

    api: str
    handler: str
    task_root: str
    lanes: int = 1
    pipelined: bool = True
    margin: float = 0.1
    busy_wait: float = 0.0003
    on_demand: bool = True
    snap_start: bool = False
    ascii_only: bool = True
    register_extension: bool = True
    log_level: str = ""
    log_json: bool = False
    metrics: str = ""
    loop: str | None = None
    function_name: str = ""
    function_version: str = ""
    memory: str = ""
    log_group: str = ""
    log_stream: str = ""
    wall_clock: Callable[[], float] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the Runtime API."""
        return split_address(self.api)


# Lambda limits a sandbox to 1,024 processes and threads.
_MAX_THREADS = 512


def thread_limit(lanes: int, alone: int) -> int:
    """Return the size of a thread pool for all lanes, each with as many threads as a single one.

    Args:
        lanes: number of lanes.
        alone: size of the pool with a single lane.

    >>> thread_limit(1, 40), thread_limit(10, 40), thread_limit(64, 40), thread_limit(64, 1000)
    (40, 400, 512, 1000)
    """
    return max(alone, min(lanes * alone, _MAX_THREADS))


def read_settings(environment: Mapping[str, str], arguments: Sequence[str]) -> Settings:
    """Read the environment variables.

    Args:
        environment: the variables.
        arguments: the handler, which then replaces `_HANDLER`.

    Raises:
        InitError: the address is missing, a variable has a bad value, or the system is Windows. A
            missing handler is reported later, by `find_function.load`.
    """
    if not is_supported_system():
        raise InitError("Runtime.UnknownSystem", UNSUPPORTED_SYSTEM)
    api = read_api_address(environment)
    handler = arguments[0] if arguments else environment.get("_HANDLER", "")
    start = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    # The actors read the variable at each crash; a bad value is reported now.
    _choice(environment, CRASH_REPORTS, "types", "full")
    return Settings(
        api=api,
        handler=handler,
        task_root=os.path.abspath(environment.get("LAMBDA_TASK_ROOT") or os.getcwd()),
        lanes=int(_number(environment, "AWS_LAMBDA_MAX_CONCURRENCY", 1, least=1)),
        pipelined=_switch(environment, "OKIBI_PIPELINE"),
        margin=_number(environment, "OKIBI_DEADLINE_MARGIN_MS", 100, least=10) / 1000,
        busy_wait=_number(environment, "OKIBI_BUSY_WAIT_US", 300, least=0, most=10_000) / 1e6,
        on_demand=start == "on-demand",
        snap_start=start == "snap-start",
        ascii_only=_is_ascii_only(environment.get("AWS_EXECUTION_ENV", "")),
        register_extension=_switch(environment, "OKIBI_GRACEFUL_SHUTDOWN"),
        log_level=environment.get("AWS_LAMBDA_LOG_LEVEL", "").upper(),
        log_json=environment.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON",
        metrics=_namespace(environment, "OKIBI_METRICS"),
        loop=_choice(environment, "OKIBI_LOOP", "trio", "asyncio")
        if environment.get("OKIBI_LOOP")
        else None,
        function_name=environment.get("AWS_LAMBDA_FUNCTION_NAME", "function"),
        function_version=environment.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        memory=environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        log_group=environment.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        log_stream=environment.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
    )


def read_api_address(environment: Mapping[str, str]) -> str:
    """Read `host:port` of the Runtime API.

    Raises:
        InitError: the variable is missing or bad.
    """
    api = environment.get("AWS_LAMBDA_RUNTIME_API", "")
    if not api:
        raise InitError(
            "Runtime.NoRuntimeApi",
            "AWS_LAMBDA_RUNTIME_API is not set: run the function on Lambda or with `okibi invoke`",
        )
    host, colon, port = api.partition(":")
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535
    if any(each.isspace() or each == "/" for each in host) or (colon and not is_port):
        raise _bad_setting("AWS_LAMBDA_RUNTIME_API", "host:port", api)
    return api


def _is_ascii_only(execution_environment: str) -> bool:
    """Return whether AWS's own runtime would escape non-ASCII characters in JSON.

    Its runtimes escape up to Python 3.11. Images and custom runtimes escape always; they do not set
    AWS_EXECUTION_ENV. (The official client's rule.)

    >>> [_is_ascii_only(f"AWS_Lambda_python3.{minor}") for minor in ("9", "11", "12", "14")]
    [True, True, False, False]
    """
    before, _, minor = execution_environment.partition("AWS_Lambda_python3.")
    return bool(before) or not (len(minor) == 2 and minor.isdecimal() and minor >= "12")


def _bad_setting(name: str, rule: str, text: str) -> InitError:
    return InitError("Runtime.BadSetting", f"{name} must be {rule}, got {text!r}")


def _choice(environment: Mapping[str, str], name: str, default: str, other: str) -> str:
    """Read a variable with two possible words."""
    text = environment.get(name) or default
    if text not in (default, other):
        raise _bad_setting(name, f"{default} or {other}", text)
    return text


def _switch(environment: Mapping[str, str], name: str) -> bool:
    """Read a switch, which is on by default."""
    text = environment.get(name) or "1"
    if text not in ("0", "1"):
        # Refused, because a user who writes `false` would expect it to be off.
        raise _bad_setting(name, "0 or 1", text)
    return text == "1"


def _namespace(environment: Mapping[str, str], name: str) -> str:
    """Read a CloudWatch namespace; empty for none. A letter first: `1` is meant as a switch."""
    text = environment.get(name, "")
    if text and not re.fullmatch(r"(?!AWS/)[A-Za-z][A-Za-z0-9._/#:-]{0,254}", text):
        rule = "a CloudWatch namespace that begins with a letter and not with AWS/, as in okibi"
        raise _bad_setting(name, rule, text)
    return text


def _number(
    environment: Mapping[str, str],
    name: str,
    default: float,
    *,
    least: float,
    most: float = math.inf,
) -> float:
    text = environment.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most or math.isinf(number):
        range_ = f"from {least} to {most}" if most < math.inf else f">= {least}"
        raise _bad_setting(name, f"a number {range_}", text)
    return number
