"""The files that start okibi from a package: `bootstrap`, the entry, and the manifest."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from .archive import list_files
from .targets import Target

ENTRY, IMAGE, MANIFEST = "okibi_start.py", "okibi.image", "okibi-package.json"

# No -P: the script's folder is on PYTHONPATH anyway, and a Python before 3.11 knows no such option.
BOOTSTRAP = """\
#!/bin/sh
# Starts okibi. {about}
root={root}
export PYTHONPATH="{path}${{PYTHONPATH:+:$PYTHONPATH}}"
{libraries}exec {wrapper}{python} "$root/lib/okibi_start.py"{arguments}
"""
# A bundled OpenSSL looks for certificates where its own system had them.
LIBRARIES = """\
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
certificates=/etc/pki/tls/certs/ca-bundle.crt
if [ -z "$SSL_CERT_FILE" ] && [ -f "$certificates" ]; then export SSL_CERT_FILE="$certificates"; fi
"""
ABOUT = {
    "managed": "On Lambda's own Python set AWS_LAMBDA_EXEC_WRAPPER=/var/task/bootstrap.",
    "bundled": "Lambda starts this script in place of a runtime.",
    "layer": "Set AWS_LAMBDA_EXEC_WRAPPER=/opt/okibi-bootstrap.",
    "image": "The entry point of the image; its argument is the handler.",
    "runtime": "Lambda starts this script as the runtime.",
}

ENTRY_SOURCE = '''\
"""Start okibi. Written by `okibi package`, in syntax that older Pythons accept.

Never compiled ahead: any Python can read it, and refuse a package for another one.
"""

import os
import sys

PYTHON, MACHINE = {python!r}, {machine!r}


def refuse():
    """End the process with one sentence: the package is for another Python or processor."""
    # Imported as a file: the package okibi needs a newer Python than this one may be.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/okibi/runtime/startup")
    from wrong_build import _report

    here = sys.version_info[:2] + (os.uname()[4],)
    architecture = {{"aarch64": "arm64"}}.get(here[2], here[2])
    _report(
        "the package was built for Python %d.%d on %s, and this is Python %d.%d on %s: build it"
        " with okibi package --python %d.%d --arch %s, or change the function's runtime or"
        " architecture"
        % (PYTHON + (MACHINE,) + here + here[:2] + (architecture,))
    )
    raise SystemExit(1)


# A child of `multiprocessing` imports this file too, under another name, and serves nothing.
if __name__ == "__main__":
    if sys.version_info[:2] != PYTHON or os.uname()[4] != MACHINE:
        refuse()
    # The folder of a script goes first on the path. PYTHONPATH has it already, behind the user's.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]

    from okibi.runtime.startup.library_finder import use_library_finder

    use_library_finder()

    from okibi.runtime.startup.start_image import use_start_image

    image = use_start_image(__file__.rpartition("/")[0])

    # Libraries look for `bootstrap` in this module; `__getattr__` has it.
    from okibi.runtime.__main__ import __getattr__, start

    start(image)
'''


def bootstrap_script(python: str = "python3", wrapper: str = "", layout: str = "managed") -> str:
    """Write the script that starts okibi.

    Args:
        python: the interpreter, as a shell writes it; "bundled" has its own.
        wrapper: a program that starts the interpreter, such as "/opt/otel-instrument"; or "".
        layout: the format of the package. A layer's and a runtime's okibi is in the folder `okibi`
            beside the script, all others' is in /var/task.
    """
    beside, bundled = layout in ("layer", "runtime"), layout == "bundled"
    if bundled:
        python = '"$root/bin/python3"'
    elif layout == "runtime":
        # A function's exec wrapper, such as OpenTelemetry's: AWS's own runtimes start it like this.
        python = f"$AWS_LAMBDA_EXEC_WRAPPER {python}"
    return BOOTSTRAP.format(
        about=ABOUT[layout],
        root="${0%/*}/okibi" if beside else "${LAMBDA_TASK_ROOT:-/var/task}",
        path="$root/lib:$root/python" if layout == "runtime" else "$root/lib",
        libraries=LIBRARIES if bundled else "",
        python=python,
        wrapper=f"{wrapper} " if wrapper else "",
        # Lambda passes an exec wrapper the command of its own runtime; okibi replaces it.
        arguments=' "$@"' if layout in ("image", "runtime") else "",
    )


def entry_source(target: Target) -> str:
    """Write the entry: it refuses another Python or processor, and runs okibi."""
    return ENTRY_SOURCE.format(python=target.python, machine=target.machine)


def hash_package(folder: Path) -> str:
    """Hash the names and contents of a package's files, without its manifest and start image."""
    return hash_files(list_files(folder), lambda name: (folder / name).read_bytes())


def hash_files(names: Iterable[str], read: Callable[[str], bytes]) -> str:
    """Hash the names and contents of files, without the manifest and the start image.

    Args:
        names: the paths in the package.
        read: returns a file's content.
    """
    whole = hashlib.sha256()
    for name in sorted(names):
        if name not in (f"lib/{IMAGE}", f"lib/{MANIFEST}"):
            whole.update(f"{name}\0".encode())
            whole.update(hashlib.sha256(read(name)).digest())
    return whole.hexdigest()


def seal_image(lib: Path) -> None:
    """Add the hash of the start image to the manifest, for `okibi package --check`.

    Args:
        lib: the folder of both. Without an image, nothing is changed.
    """
    image, file = lib / IMAGE, lib / MANIFEST
    if image.exists():
        described = json.loads(file.read_bytes())
        described["image_hash"] = hashlib.sha256(image.read_bytes()).hexdigest()
        file.write_text(json.dumps(described, indent=2) + "\n", "utf-8")


def manifest(okibi: str, target: Target, handler: str, package_hash: str) -> str:
    """Write the manifest: what the package is, for tools and for the start image."""
    content = {
        "okibi": okibi,
        "python": target.python_version,
        "architecture": target.architecture,
        "format": target.format,
        "handler": handler,
        "hash": package_hash,
    }
    return json.dumps(content, indent=2) + "\n"
