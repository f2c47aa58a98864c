"""The names of other projects that the documentation links to, without a network."""

import re
import zlib
from pathlib import Path

URLS = {
    "python": "https://docs.python.org/3",
    "trio": "https://trio.readthedocs.io/en/stable",
    "httpx": "https://www.python-httpx.org",
    "msgspec": "https://jcristharif.com/msgspec",
    "opentelemetry": "https://opentelemetry-python.readthedocs.io/en/latest",
    "powertools": "https://docs.powertools.aws.dev/lambda/python/latest",
}

# project: {page: names}; each name is "kind name".
NAMES = {
    "python": {
        "library/exceptions.html": """exception ValueError, exception TypeError,
            exception KeyboardInterrupt, exception RuntimeError, exception Exception,
            exception BaseException, exception LookupError, exception RuntimeWarning,
            exception BaseExceptionGroup""",
        "library/functions.html": "class object, class type",
        "library/stdtypes.html": "class str, class int, class dict, class list, class bytes, "
        "class tuple",
        "library/functions.html#bool": "class bool",
        "library/functions.html#float": "class float",
        "library/enum.html": "class enum.Enum, class Enum",
        "library/typing.html": "class typing.Generic, class typing.Any, class typing.Self, "
        "class Generic, class typing.NamedTuple",
        "library/collections.abc.html": """class collections.abc.Callable,
            class collections.abc.Awaitable, class collections.abc.Iterable,
            class collections.abc.Sequence, class collections.abc.Mapping,
            class collections.abc.Hashable, class collections.abc.AsyncIterator,
            class collections.abc.AsyncIterable, class collections.abc.Iterator,
            class collections.abc.Collection, class collections.abc.AsyncGenerator,
            class collections.abc.Coroutine, class collections.abc.Generator""",
        "library/asyncio-task.html": "class asyncio.Task",
        "library/contextlib.html": "class contextlib.AbstractAsyncContextManager, "
        "class contextlib.AbstractContextManager",
        "library/pathlib.html": "class pathlib.Path",
        "library/ssl.html": "class ssl.SSLContext",
        "library/types.html": "class types.FrameType, class types.TracebackType",
    },
    "trio": {
        "reference-core.html": """class trio.Nursery, class trio.CancelScope,
            exception trio.TooSlowError, exception trio.Cancelled, exception trio.WouldBlock,
            exception trio.BusyResourceError,
            class trio.TaskStatus, class trio.Event, class trio.SocketStream,
            class trio.abc.Stream""",
        "reference-lowlevel.html": "class trio.lowlevel.Task",
    },
    "httpx": {
        "advanced/authentication/#custom-authentication-schemes": "class httpx.Auth",
        "advanced/transports/#writing-custom-transports": "class httpx.AsyncBaseTransport",
        "api/#request": "class httpx.Request",
        "api/#response": "class httpx.Response",
        "exceptions/": "exception httpx.TransportError, exception httpx.UnsupportedProtocol",
    },
    "msgspec": {"api.html#struct": "class msgspec.Struct"},
    "opentelemetry": {
        "api/trace.html": "class opentelemetry.trace.TracerProvider",
        "sdk/resources.html": "class opentelemetry.sdk.resources.Resource",
    },
    "powertools": {
        "core/logger/": "class Logger",
        "core/tracer/": "class Tracer",
        "core/metrics/": "class Metrics",
    },
}

# Types that have no page anywhere.
PRIVATE = {
    "_asyncio.Task", "Outcome", "outcome.Outcome", "Item", "FreezeMonitor", "Limits", "Monitorable",
}  # fmt: skip

# Type variables.
IGNORED = [
    (r"py:.*", r"(.*\.)?_?[A-Z][A-Za-z]?[0-9]?(_co|_contra)?"),
    (r"py:.*", r"(.*\.)?_\w+"),
]


def write(project: str, folder: Path) -> Path:
    """Write one project's inventory, as intersphinx reads it, and return its path."""
    lines = []
    for page, names in NAMES[project].items():
        for entry in re.split(r",\s*", names.strip()):
            kind, name = entry.split()
            anchor = "" if "#" in page else "#$"
            lines.append(f"{name} py:{kind} 1 {page}{anchor} -")
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: 3\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{project}.inv"
    path.write_bytes(head.encode() + zlib.compress("\n".join(lines).encode() + b"\n"))
    return path
