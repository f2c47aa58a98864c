"""Each layout, built from PyPI and started as AWS documents it, by AWS's emulator in a root folder.

Nothing but a shell, the emulator and the layout is in the root; in those of Lambda's own Python,
and of images made from AWS's, this machine's Python is in /var/lang.
"""

import json
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from okibi.packaging.layouts.image import write_image
from okibi.packaging.layouts.layer import arrange_layer
from okibi.packaging.layouts.runtime import write_runtime
from okibi.packaging.project import find_project
from okibi.packaging.staging import Staged, stage
from okibi.packaging.targets import Target
from tests.support.emulator import NoEmulatorError, emulator
from tests.support.root_folder import (
    BASE_IMAGE,
    add_base_image,
    build_image,
    emulated_in,
    make_root,
    why_no_chroot,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_chroot()), reason=why_no_chroot() or "-"),
]

APP = """
import os, sys
import markupsafe
import okibi.runtime

async def handler(event, context):
    return {
        "escaped": str(markupsafe.escape(event["name"])),
        "markupsafe": markupsafe.__file__,
        "okibi": okibi.runtime.__file__,
        "prefix": sys.prefix,
        "id": context.aws_request_id,
        "uid": os.getuid(),
        "certificates": os.environ.get("SSL_CERT_FILE"),
    }
"""
EVENT = b'{"name": "<b>"}'


@pytest.fixture(scope="module")
def executable() -> Path:
    try:
        return emulator()
    except NoEmulatorError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def root(executable: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    make_root(folder, executable)
    return folder


def target(layout: str) -> Target:
    """A target for this machine, whose glibc is as new as this machine's."""
    machine = "arm64" if platform.machine() == "aarch64" else "x86_64"
    return Target(sys.version_info[:2], machine, layout, (2, 99))


def build(layout: str, folder: Path, handler: str = "app.handler") -> Staged:
    """Put a package together, in one resolution with okibi's own requirements."""
    project, work = folder / "project", folder / "work"
    project.mkdir()
    work.mkdir()
    (project / "requirements.txt").write_text("markupsafe==3.0.3\n")
    if layout not in ("layer", "runtime"):
        (project / "app.py").write_text(APP)
    cpython = Path(sys.executable) if layout == "bundled" else None
    return stage(find_project(project), handler, target(layout), work, cpython).staged


def invoke(root: Path, command: list[str], **environment: str) -> Any:
    log = root / "log"
    with emulated_in(root, command, log, environment) as function:
        first = json.loads(function.invoke(EVENT))
        second = json.loads(function.invoke(EVENT))
    assert "escaped" in first, (first, log.read_text())
    assert first["escaped"] == "&lt;b&gt;"
    assert first["id"] != second["id"]
    assert first["uid"] == 65534
    return first


def test_a_bundled_zip_starts_where_no_python_is(root: Path, tmp_path: Path) -> None:
    staged = build("bundled", tmp_path)
    assert not [path for path in root.rglob("*") if "python" in path.name]
    shutil.copytree(staged.folder, root / "var/task", dirs_exist_ok=True)
    # Where Amazon Linux has them.
    certificates = root / "etc/pki/tls/certs/ca-bundle.crt"
    certificates.parent.mkdir(parents=True)
    certificates.touch()

    answer = invoke(root, [], _HANDLER="app.handler", LAMBDA_TASK_ROOT="/var/task")

    assert answer["prefix"] == "/var/task"
    assert answer["certificates"] == "/etc/pki/tls/certs/ca-bundle.crt"
    assert answer["okibi"].startswith("/var/task/lib/okibi/")


def test_the_exec_wrapper_of_a_zip_replaces_aws_s_client(root: Path, tmp_path: Path) -> None:
    add_base_image(root, target("managed"))
    shutil.copytree(build("managed", tmp_path).folder, root / "var/task", dirs_exist_ok=True)

    answer = invoke(
        root, ["/var/runtime/bootstrap", "app.handler"],
        AWS_LAMBDA_EXEC_WRAPPER="/var/task/bootstrap", **BASE_IMAGE,
    )  # fmt: skip

    assert answer["prefix"] == "/var/lang"
    assert answer["markupsafe"].startswith("/var/task/markupsafe/")


def test_a_layer_serves_a_function_that_is_only_its_own_code(root: Path, tmp_path: Path) -> None:
    add_base_image(root, target("layer"))
    staged = build("layer", tmp_path, handler="")
    arrange_layer(staged)
    shutil.copytree(staged.folder, root / "opt", dirs_exist_ok=True)
    (root / "var/task/app.py").write_text(APP)

    answer = invoke(
        root, ["/var/runtime/bootstrap", "app.handler"],
        AWS_LAMBDA_EXEC_WRAPPER="/opt/okibi-bootstrap", **BASE_IMAGE,
    )  # fmt: skip

    assert answer["markupsafe"] == "/opt/python/markupsafe/__init__.py"
    assert answer["okibi"].startswith("/opt/okibi/lib/okibi/")

    # The function's folder goes before the layers.
    (root / "var/task/markupsafe.py").write_text("escape = lambda name: '&lt;b&gt;'\n")
    answer = invoke(
        root, ["/var/runtime/bootstrap", "app.handler"],
        AWS_LAMBDA_EXEC_WRAPPER="/opt/okibi-bootstrap", **BASE_IMAGE,
    )  # fmt: skip
    assert answer["markupsafe"] == "/var/task/markupsafe.py"


def test_an_image_starts_by_its_entry_point_and_command(root: Path, tmp_path: Path) -> None:
    add_base_image(root, target("image"))
    write_image(build("image", tmp_path), tmp_path / "image")
    command = build_image(root, tmp_path / "image")
    assert command == ["/var/task/bootstrap", "app.handler"]

    answer = invoke(root, command, **BASE_IMAGE)

    assert answer["okibi"].startswith("/var/task/lib/okibi/")


@pytest.mark.parametrize("by", ["entry point", "place"])
def test_a_customer_managed_runtime_serves_plain_zips(by: str, root: Path, tmp_path: Path) -> None:
    add_base_image(root, target("runtime"))
    write_runtime(build("runtime", tmp_path, handler=""), tmp_path / "runtime")
    entry = build_image(root, tmp_path / "runtime")
    (root / "var/task/app.py").write_text(APP)

    if by == "entry point":
        answer = invoke(root, [*entry, "app.handler"], **BASE_IMAGE)
    else:
        # The emulator finds /var/runtime/bootstrap.
        answer = invoke(root, [], _HANDLER="app.handler", **BASE_IMAGE)

    assert answer["okibi"].startswith("/var/runtime/okibi/lib/okibi/")
    assert answer["markupsafe"].startswith("/var/runtime/okibi/python/markupsafe/")
