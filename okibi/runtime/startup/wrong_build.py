"""Explain an import error of a compiled module that was built for another Python or processor.

Imported only after an import has failed. Uses the standard library only, in syntax that older
Pythons accept, because the Python may be too old for okibi.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder, all_suffixes

KIND = "Runtime.PlatformMismatch"
OLDEST = (3, 11)
# `.cpython-313-aarch64-linux-gnu.so`, `.cp313-win_amd64.pyd`; `313t` is free-threaded.
_TAG = re.compile(r"\.(?:cpython-|cp)(\d)(\d+t?)-(.+)\.(?:so|pyd)$")
_NOT_IN_PACKAGE = re.compile(r"cannot import name '(\w+)' from")
# By the machine's number in the header of an ELF file.
_PROCESSORS = {0x3E: "x86_64", 0xB7: "aarch64"}
_SYSTEMS = {b"\xcf\xfa\xed\xfe": "macOS", b"\xca\xfe\xba\xbe": "macOS", b"MZ": "Windows"}
# Limit for the chain of causes, which user code may have made circular.
_CHAIN_LIMIT = 20


def end_if_wrong_build(error: Exception) -> None:
    """End the process with an init error if okibi was built for another Python or processor.

    Args:
        error: the error of an import in okibi.

    Raises:
        SystemExit: okibi was built for another Python or processor. The code is 1, and the error is
            in the log and reported to the Runtime API.
    """
    here = ".".join(map(str, sys.version_info[:2]))
    message = explain_wrong_build(error)
    if sys.version_info < OLDEST:
        needed = ".".join(map(str, OLDEST))
        message = f"okibi needs Python {needed} or newer, and this is Python {here}"
    if message:
        _report(message)
        raise SystemExit(1) from error


def explain_wrong_build(error: BaseException) -> str:
    """Explain an import error that a wrongly built module caused.

    Args:
        error: the ImportError, or an error that the ImportError caused.

    Returns:
        One sentence: the file, its platform, this platform, and what to do. Empty if the cause is
        another one, or not certain.
    """
    try:
        fault = _fault_behind(error)
    except Exception:
        # The error's class may be the user's and raise; a path may be unreadable.
        return ""
    return f"{fault}, and this is {_this_platform()}: {_cure()}" if fault else ""


def _fault_behind(error: BaseException) -> str:
    seen: BaseException | None = error
    for _ in range(_CHAIN_LIMIT):
        if isinstance(seen, ImportError) and (fault := _fault(seen)):
            return fault
        seen = seen and (seen.__cause__ or seen.__context__)
    return ""


def _fault(error: ImportError) -> str:
    """Name the file and its platform; empty for another cause."""
    if error.path and error.path.endswith(".so"):
        # The name fits, and loading failed: another processor, or a missing library.
        built = _processor(error.path)
        other = built not in ("", _processor(sys.executable))
        return f"{error.path} was built for {built}" if other else ""
    missing = _NOT_IN_PACKAGE.match(str(error))
    # `from package import module`, or a name of a module that was found as a folder only.
    modules = [f"{error.name}.{missing[1]}"] if missing else []
    if error.name:
        modules.append(error.name)
    return next((fault for module in modules if (fault := _fault_of(module))), "")


def _fault_of(module: str) -> str:
    """Name a module's file and its platform; empty if one file fits this Python."""
    files, name = _files(module), module.rpartition(".")[2]
    if any(os.path.basename(file) == name + ending for file in files for ending in all_suffixes()):
        return ""
    platforms = ((file, _platform_in_name(file)) for file in files)
    return next((f"{file} was built for {built}" for file, built in platforms if built), "")


def _files(module: str) -> list[str]:
    """List the files of a module, for any Python."""
    package, _, name = module.rpartition(".")
    top, *below = package.split(".")
    folders = sys.path
    if top:
        spec = PathFinder.find_spec(top)
        above = spec.submodule_search_locations if spec is not None else None
        folders = [os.path.join(folder, *below) for folder in above or ()]
    return [
        os.path.join(folder, file)
        for folder in folders
        if os.path.isdir(folder)
        for file in sorted(os.listdir(folder))
        if file.startswith(f"{name}.")
    ]


def _platform_in_name(file: str) -> str:
    """Return the Python and platform in a compiled file's name; empty without one."""
    tag = _TAG.search(file)
    return f"Python {tag[1]}.{tag[2]} ({tag[3]})" if tag else ""


def _this_platform() -> str:
    return _platform_in_name(f"this{EXTENSION_SUFFIXES[0]}") or f"{sys.implementation.cache_tag}"


def _cure() -> str:
    python = ".".join(map(str, sys.version_info[:2]))
    options = f"--python-version {python} --only-binary=:all:"
    system, machine = (os.uname().sysname, os.uname().machine) if hasattr(os, "uname") else ("", "")
    if system == "Linux":
        libc = "musllinux_1_2" if "musl" in EXTENSION_SUFFIXES[0] else "manylinux2014"
        options = f"--platform {libc}_{machine} {options}"
    return (
        f"build the package with pip's {options}, or give the function the runtime and the "
        "architecture that the file was built for"
    )


def _processor(file: str) -> str:
    """Return the processor or system of a compiled file, from its header; empty if unknown."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(20)
    except OSError:
        return ""
    if head.startswith(b"\x7fELF") and len(head) == 20:
        machine = int.from_bytes(head[18:], "little")
        return _PROCESSORS.get(machine, f"ELF processor {machine}")
    return next((system for magic, system in _SYSTEMS.items() if head.startswith(magic)), "")


def _report(message: str) -> None:
    """Write an init error to the log and the Runtime API, as the official client does."""
    import http.client
    import json

    body: dict[str, object] = {
        "errorMessage": message,
        "errorType": KIND,
        "requestId": "",
        "stackTrace": [],
    }
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        import time

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(json.dumps({"timestamp": stamp, "level": "ERROR", **body}), flush=True)
    else:
        print(f"[ERROR] {KIND}: {message}\rTraceback (most recent call last):", flush=True)
    api = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
    if api:
        connection = http.client.HTTPConnection(api, timeout=2)
        headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": KIND}
        try:
            connection.request("POST", "/2018-06-01/runtime/init/error", json.dumps(body), headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            # The Runtime API is not reachable; the log has the error.
            return
