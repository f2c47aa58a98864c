"""What the environment says, as one value. Everything but the address has a default."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from .failure import InitError

_ADDRESS = re.compile(r"[^\s/:]*(:(?P<port>[0-9]{1,5}))?")


@attrs.frozen
class Settings:
    """The runtime's environment (Runtime API: environment variables).

    Attributes:
        api: `host:port` of the Runtime API.
        handler: what to serve, `module.name`.
        task_root: the folder of the user's code.
        lanes: how many events may be in flight at once.
        pipelined: whether the next GET leaves with the answer.
        margin: seconds before the platform's deadline at which okibi answers itself.
        on_demand: whether the platform allows init only 10 s.
        log_level: the root logger's level, empty to leave it.
        function_name, function_version, memory, log_group, log_stream: of the context object.
    """

    api: str
    handler: str
    task_root: Path
    lanes: int = 1
    pipelined: bool = True
    margin: float = 0.1
    on_demand: bool = True
    log_level: str = ""
    function_name: str = ""
    function_version: str = ""
    memory: str = ""
    log_group: str = ""
    log_stream: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the Runtime API."""
        host, colon, port = self.api.rpartition(":")
        return (host or "127.0.0.1", int(port)) if colon else (self.api, 80)


def settings_from(environment: Mapping[str, str], arguments: Sequence[str]) -> Settings:
    """Read the environment; the first argument, when given, is the handler.

    Raises:
        InitError: no address, no handler, or a number that is none.
    """
    api = _api(environment)
    handler = arguments[0] if arguments else environment.get("_HANDLER", "")
    if not handler:
        raise InitError(
            "Runtime.NoHandler", "no handler: set _HANDLER, or give it as the first argument"
        )
    start = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    return Settings(
        api=api,
        handler=handler,
        task_root=Path(environment.get("LAMBDA_TASK_ROOT") or os.getcwd()).absolute(),
        lanes=int(_number(environment, "AWS_LAMBDA_MAX_CONCURRENCY", 1, least=1)),
        pipelined=environment.get("OKIBI_PIPELINE", "1") != "0",
        margin=_number(environment, "OKIBI_DEADLINE_MARGIN_MS", 100, least=10) / 1000,
        on_demand=start == "on-demand",
        log_level=environment.get("AWS_LAMBDA_LOG_LEVEL", "").upper(),
        function_name=environment.get("AWS_LAMBDA_FUNCTION_NAME", "function"),
        function_version=environment.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        memory=environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        log_group=environment.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
        log_stream=environment.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
    )


def _api(environment: Mapping[str, str]) -> str:
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


def _number(environment: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = environment.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number >= least or math.isinf(number):
        raise InitError("Runtime.BadSetting", f"{name} is a number from {least}, not {text!r}")
    return number
