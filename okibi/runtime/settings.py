"""What the environment says, as one value. Everything but the address has a default."""

import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..actors.safe_repr import CRASH_REPORTS
from .errors.exceptions import InitError

# The official client's rule: AWS's own runtimes escape up to Python 3.11, as do images and custom
# runtimes, which have no such variable.
_UNESCAPED = re.compile(r"AWS_Lambda_python3\.(1[2-9]|[2-9][0-9])")
_ADDRESS = re.compile(r"[^\s/:]*(:(?P<port>[0-9]{1,5}))?")


UNSUPPORTED_SYSTEM = "functions are served on Linux and macOS; on Windows, in WSL (wsl --install)"


def is_supported_system() -> bool:
    """Whether this system has what a sandbox is made of: its signals, and groups of processes."""
    return sys.platform != "win32"


class Settings(NamedTuple):
    """The runtime's environment (Runtime API: environment variables).

    Attributes:
        api: `host:port` of the Runtime API.
        handler: what to serve, `module.name`.
        task_root: the folder of the user's code.
        lanes: how many events may be in flight at once.
        pipelined: whether the next GET leaves with the answer.
        margin: seconds before the platform's deadline at which okibi answers itself.
        busy_wait: seconds that the next event is looked for at most before its wait; 0 for none.
        on_demand: whether the platform allows init only 10 s.
        snap_start: whether a snapshot is taken after init.
        escaped: whether the result of a plain `def` is sent as ASCII alone.
        graceful: whether okibi registers as an extension, so that the platform announces the end.
        log_level: the root logger's level, empty to leave it.
        log_json: whether the log is JSON, one object a line.
        loop: what async handlers run on, `trio` or `asyncio`, unless their Function says so.
        function_name, function_version, memory, log_group, log_stream: of the context object.
    """

    api: str
    handler: str
    task_root: Path
    lanes: int = 1
    pipelined: bool = True
    margin: float = 0.1
    busy_wait: float = 0.0003
    on_demand: bool = True
    snap_start: bool = False
    escaped: bool = True
    graceful: bool = True
    log_level: str = ""
    log_json: bool = False
    loop: str = "trio"
    function_name: str = ""
    function_version: str = ""
    memory: str = ""
    log_group: str = ""
    log_stream: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the Runtime API."""
        return split_address(self.api)


# Lambda lets a sandbox have 1,024 processes and threads.
_MOST_THREADS = 512


def thread_limit(lanes: int, alone: int) -> int:
    """How many threads the events in flight may have of a pool, each as many as one has alone.

    Args:
        lanes: how many events there may be.
        alone: what the pool has for one.

    >>> thread_limit(1, 40), thread_limit(10, 40), thread_limit(64, 40), thread_limit(64, 1000)
    (40, 400, 512, 1000)
    """
    return max(alone, min(lanes * alone, _MOST_THREADS))


def split_address(api: str) -> tuple[str, int]:
    """Host and port in `host:port`.

    >>> split_address("127.0.0.1:9001"), split_address("sandbox"), split_address(":9001")
    (('127.0.0.1', 9001), ('sandbox', 80), ('127.0.0.1', 9001))
    """
    host, colon, port = api.rpartition(":")
    return (host or "127.0.0.1", int(port)) if colon else (api, 80)


def read_settings(environment: Mapping[str, str], arguments: Sequence[str]) -> Settings:
    """Read the environment; the first argument, when given, is the handler.

    Raises:
        InitError: no address, or a number or a switch that is none, or Windows. To name no handler
            is `load`'s error.
    """
    if not is_supported_system():
        raise InitError("Runtime.UnknownSystem", UNSUPPORTED_SYSTEM)
    api = read_api_address(environment)
    handler = arguments[0] if arguments else environment.get("_HANDLER", "")
    start = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    # Read by the actors when there is something to show.
    _choice(environment, CRASH_REPORTS, "types", "full")
    return Settings(
        api=api,
        handler=handler,
        task_root=Path(environment.get("LAMBDA_TASK_ROOT") or os.getcwd()).absolute(),
        lanes=int(_number(environment, "AWS_LAMBDA_MAX_CONCURRENCY", 1, least=1)),
        pipelined=_switch(environment, "OKIBI_PIPELINE"),
        margin=_number(environment, "OKIBI_DEADLINE_MARGIN_MS", 100, least=10) / 1000,
        busy_wait=_number(environment, "OKIBI_BUSY_WAIT_US", 300, least=0, most=10_000) / 1e6,
        on_demand=start == "on-demand",
        snap_start=start == "snap-start",
        escaped=_UNESCAPED.fullmatch(environment.get("AWS_EXECUTION_ENV", "")) is None,
        graceful=_switch(environment, "OKIBI_GRACEFUL_SHUTDOWN"),
        log_level=environment.get("AWS_LAMBDA_LOG_LEVEL", "").upper(),
        log_json=environment.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON",
        loop=_choice(environment, "OKIBI_LOOP", "trio", "asyncio"),
        function_name=environment.get("AWS_LAMBDA_FUNCTION_NAME", "function"),
        function_version=environment.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        memory=environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        log_group=environment.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        log_stream=environment.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
    )


def read_api_address(environment: Mapping[str, str]) -> str:
    """`host:port` of the Runtime API.

    Raises:
        InitError: there is none.
    """
    api = environment.get("AWS_LAMBDA_RUNTIME_API", "")
    if not api:
        raise InitError(
            "Runtime.NoRuntimeApi",
            "AWS_LAMBDA_RUNTIME_API is not set: Lambda sets it, and so does `okibi invoke`",
        )
    read = _ADDRESS.fullmatch(api)
    if read is None or int(read["port"] or 80) > 65535:
        words = f"AWS_LAMBDA_RUNTIME_API is host:port, not {api!r}"
        raise InitError("Runtime.BadSetting", words)
    return api


def _choice(environment: Mapping[str, str], name: str, default: str, other: str) -> str:
    """Which of two words a variable has."""
    text = environment.get(name) or default
    if text not in (default, other):
        raise InitError("Runtime.BadSetting", f"{name} is {default} or {other}, not {text!r}")
    return text


def _switch(environment: Mapping[str, str], name: str) -> bool:
    """Whether what is on by default is left on."""
    text = environment.get(name) or "1"
    if text not in ("0", "1"):
        # Who writes `false` would not learn that it stays on.
        raise InitError("Runtime.BadSetting", f"{name} is 0 or 1, not {text!r}")
    return text == "1"


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
        range_ = f"{least} to {most}" if most < math.inf else f"{least}"
        raise InitError("Runtime.BadSetting", f"{name} is a number from {range_}, not {text!r}")
    return number
