"""The configuration of a function."""

import math
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from .limits import MAX_MANAGED_MEMORY, MAX_MEMORY, MIN_MEMORY

# The account of every local function, as in AWS's emulator.
ACCOUNT_ID = "012345678912"

# The region of every local function.
REGION = "us-east-1"

# Variables that Lambda sets and a function's configuration must not set.
RESERVED_VARIABLES = frozenset(
    {
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "_HANDLER",
    }
)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def arn_of(name: str) -> str:
    """Return the ARN of a function."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"


def _check_name(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"name must be 1 to 64 letters, digits, '-' or '_', got {value!r}")


def _check_handler(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"handler must be module.name, such as app.handler, got {value!r}")


def _check_command(_: object, __: object, value: Any) -> None:
    if not value or not all(isinstance(part, str) and part for part in value):
        raise ValueError(f"command must be a program and its arguments as strings, got {value!r}")
    if shutil.which(str(value[0])) is None:
        raise ValueError(
            f"command: program {str(value[0])!r} not found; give a path or a name on PATH"
        )


def _check_task_root(_: object, __: object, value: Any) -> None:
    if not value.is_dir():
        raise ValueError(f"task_root must be an existing folder, got {str(value)!r}")


def _check_timeout(_: object, __: object, value: Any) -> None:
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"timeout must be seconds > 0, got {value!r}")


def _check_memory(self: Any, _: object, value: Any) -> None:
    most = MAX_MEMORY if self.max_concurrency is None else MAX_MANAGED_MEMORY
    if not isinstance(value, int) or not MIN_MEMORY <= value <= most:
        raise ValueError(
            f"memory must be an integer from {MIN_MEMORY} to {most} (MB), got {value!r}"
        )


def _check_environment(_: object, __: object, value: Any) -> None:
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str) or "=" in name or not name:
            raise ValueError(f"environment must map names to strings, got {name!r}: {text!r}")
        if name in RESERVED_VARIABLES:
            many = name == "AWS_LAMBDA_MAX_CONCURRENCY"
            instead = "give max_concurrency" if many else "leave it out"
            raise ValueError(f"environment must not set {name}, which Lambda sets; {instead}")


def _check_max_concurrency(_: object, __: object, value: Any) -> None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ValueError(f"max_concurrency must be an integer >= 1 or None, got {value!r}")


def _check_snap_start(self: Any, _: object, value: bool) -> None:
    if value and self.max_concurrency is not None:
        raise ValueError(
            "snap_start must be False with max_concurrency: Lambda does not combine them"
        )


def _path(value: str | Path) -> Path:
    return Path(value).resolve()


def _mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


@attrs.frozen
class FunctionSettings:
    """The configuration of a function (Lambda CreateFunction).

    Args:
        handler: the value of `_HANDLER`, such as `app.function`.
        name: the function's name.
        command: the bootstrap: program and arguments.
        task_root: the folder with the function's code, and the working directory of the process.
        timeout: seconds that one invocation may take.
        memory: MB, as reported to the function; not enforced here.
        environment: additional variables; they win over the inherited ones.
        inherited: the variables that the function inherits; None for those of this process.
        max_concurrency: events at once in one sandbox, as on Lambda Managed Instances
            (AWS_LAMBDA_MAX_CONCURRENCY); None for one at a time.
        snap_start: whether the function starts from a snapshot, as with SnapStart. The process is
            stopped after its init phase, until the first event. All its connections to the Runtime
            API are cut then, and it has 10 s to ask for the event.

    Raises:
        ValueError: a field is invalid; the message begins with the name of the field.

    Example:
        FunctionSettings("app.function", task_root="src", timeout=10.0)
    """

    handler: str = attrs.field(validator=_check_handler)
    name: str = attrs.field(default="function", validator=_check_name)
    command: Sequence[str] = attrs.field(
        default=(sys.executable, "-P", "-m", "okibi.runtime"),
        converter=tuple[str, ...],
        validator=_check_command,
    )
    task_root: Path = attrs.field(factory=Path.cwd, converter=_path, validator=_check_task_root)
    timeout: float = attrs.field(default=3.0, validator=_check_timeout)
    memory: int = attrs.field(default=128, validator=_check_memory)
    environment: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=_mapping, validator=_check_environment
    )
    inherited: Mapping[str, str] | None = attrs.field(
        default=None, repr=False, converter=attrs.converters.optional(_mapping), kw_only=True
    )
    max_concurrency: int | None = attrs.field(default=None, validator=_check_max_concurrency)
    snap_start: bool = attrs.field(default=False, validator=_check_snap_start)

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return arn_of(self.name)
