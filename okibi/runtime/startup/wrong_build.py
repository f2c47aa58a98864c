"""Say in one sentence that a compiled module was built for another Python or processor.

Imported only once an import has failed. It stands on the standard library alone, in words that an
older Python can read too: this may be a Python that okibi is not for.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder, all_suffixes

KIND = "Runtime.PlatformMismatch"
OLDEST = (3, 11)
# `.cpython-313-aarch64-linux-gnu.so`, `.cp313-win_amd64.pyd`; `313t` is without the global lock.
_TAG = re.compile(r"\.(?:cpython-|cp)(\d)(\d+t?)-(.+)\.(?:so|pyd)$")
_NOT_IN_PACKAGE = re.compile(r"cannot import name '(\w+)' from")
# By the machine's number in the head of an ELF file.
_PROCESSORS = {0x3E: "x86_64", 0xB7: "aarch64"}
_SYSTEMS = {b"\xcf\xfa\xed\xfe": "macOS", b"\xca\xfe\xba\xbe": "macOS", b"MZ": "Windows"}
# Of the errors behind an error; user code may have made a circle of them.
_DEPTH = 20


def end_if_wrong_build(error: Exception) -> None:
    """End the process with an init error, if okibi was built for another Python or processor.

    Args:
        error: what an import of okibi's own has failed with.

    Raises:
        SystemExit: with 1, once the log and the Runtime API have the sentence.
    """
    here = ".".join(map(str, sys.version_info[:2]))
    message = wrong_build(error)
    if sys.version_info < OLDEST:
        needed = ".".join(map(str, OLDEST))
        message = f"okibi needs Python {needed} or newer, and this is Python {here}"
    if message:
        _report(message)
        raise SystemExit(1) from error


def wrong_build(error: BaseException) -> str:
    """What is wrong with the compiled module that an import has failed for.

    Args:
        error: the ImportError, or what came of it.

    Returns:
        One sentence: the file, what it was built for, what this is, and what to do. Empty if the
        import has failed for another cause, or if that is not certain.
    """
    try:
        fault = _fault_behind(error)
    except Exception:
        # The error may be of a class of the user's, and any path may be unreadable.
        return ""
    return f"{fault}, and this is {_this()}: {_cure()}" if fault else ""


def _fault_behind(error: BaseException) -> str:
    seen: BaseException | None = error
    for _ in range(_DEPTH):
        if isinstance(seen, ImportError) and (fault := _fault(seen)):
            return fault
        seen = seen and (seen.__cause__ or seen.__context__)
    return ""


def _fault(error: ImportError) -> str:
    """Which file was built for what; empty if the import has failed for another cause."""
    if error.path and error.path.endswith(".so"):
        # Its name is right, and it could not be loaded. A library that it needs may be missing.
        built = _processor(error.path)
        other = built not in ("", _processor(sys.executable))
        return f"{error.path} was built for {built}" if other else ""
    missing = _NOT_IN_PACKAGE.match(str(error))
    # `from package import module`, or a name of a module in whose place there is a folder alone.
    modules = [f"{error.name}.{missing[1]}"] if missing else []
    if error.name:
        modules.append(error.name)
    return next((fault for module in modules if (fault := _fault_of(module))), "")


def _fault_of(module: str) -> str:
    """Which of a module's files was built for what; empty if one of them is for this Python."""
    files, name = _files(module), module.rpartition(".")[2]
    if any(os.path.basename(file) == name + ending for file in files for ending in all_suffixes()):
        return ""
    told = ((file, _described(file)) for file in files)
    return next((f"{file} was built for {built}" for file, built in told if built), "")


def _files(module: str) -> list[str]:
    """The files of a module, whichever Python they are for."""
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


def _described(file: str) -> str:
    """The Python and the platform that a compiled file's name tells."""
    tag = _TAG.search(file)
    return f"Python {tag[1]}.{tag[2]} ({tag[3]})" if tag else ""


def _this() -> str:
    return _described(f"this{EXTENSION_SUFFIXES[0]}") or f"{sys.implementation.cache_tag}"


def _cure() -> str:
    python = ".".join(map(str, sys.version_info[:2]))
    options = f"--python-version {python} --only-binary=:all:"
    system, machine = (os.uname().sysname, os.uname().machine) if hasattr(os, "uname") else ("", "")
    if system == "Linux":
        libc = "musllinux_1_2" if "musl" in EXTENSION_SUFFIXES[0] else "manylinux2014"
        options = f"--platform {libc}_{machine} {options}"
    return (
        f"build the package with pip's {options}, or give the function the runtime and the "
        "architecture that it was built for"
    )


def _processor(file: str) -> str:
    """The processor that a compiled file is for, or its system; empty if its head tells neither."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(20)
    except OSError:
        return ""
    if head.startswith(b"\x7fELF") and len(head) == 20:
        machine = int.from_bytes(head[18:], "little")
        return _PROCESSORS.get(machine, f"the processor {machine} of ELF")
    return next((system for magic, system in _SYSTEMS.items() if head.startswith(magic)), "")


def _report(message: str) -> None:
    """Tell the log and the Runtime API, as the official client tells of an init error."""
    import http.client
    import json

    told: dict[str, object] = {
        "errorMessage": message,
        "errorType": KIND,
        "requestId": "",
        "stackTrace": [],
    }
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        import time

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(json.dumps({"timestamp": stamp, "level": "ERROR", **told}), flush=True)
    else:
        print(f"[ERROR] {KIND}: {message}\rTraceback (most recent call last):", flush=True)
    api = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
    if api:
        connection = http.client.HTTPConnection(api, timeout=2)
        headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": KIND}
        try:
            connection.request("POST", "/2018-06-01/runtime/init/error", json.dumps(told), headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            # There is nobody to tell. The log has it.
            return
