"""The folders for `docker build`, of images and of runtimes; and a layer's folders."""

import os
import stat
from pathlib import Path

import pytest

from okibi.packaging.archive import list_files
from okibi.packaging.layouts.image import write_image
from okibi.packaging.layouts.layer import arrange_layer
from okibi.packaging.layouts.runtime import write_runtime
from okibi.packaging.project import find_project
from okibi.packaging.staging import Staged
from okibi.packaging.targets import parse_target
from okibi.project.bad_input import BadInput

FILES = ("bootstrap", "app.py", "lib/okibi_start.py", "boto3/__init__.py")


def staged(folder: Path, *files: str, layout: str = "image", arch: str = "x86_64") -> Staged:
    package = folder / "package"
    for name in files or FILES:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(name)
    (package / "bootstrap").chmod(0o700)
    target = parse_target("3.13", arch, layout)
    return Staged(package, package / "lib", "app.handler", target, None)


def contents(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in list_files(folder)}


def test_an_image_has_the_package_in_var_task_and_the_handler_as_its_command(
    tmp_path: Path,
) -> None:
    write_image(staged(tmp_path), tmp_path / "image")

    found = contents(tmp_path / "image")
    assert {name for name in found if name != "Dockerfile"} == {f"task/{name}" for name in FILES}
    lines = [line for line in found["Dockerfile"].splitlines() if not line.startswith("#")]
    assert lines == [
        "FROM --platform=linux/amd64 public.ecr.aws/lambda/python:3.13",
        "COPY task/ /var/task/",
        'ENTRYPOINT ["/var/task/bootstrap"]',
        'CMD ["app.handler"]',
    ]


def test_an_image_for_arm64_names_its_platform(tmp_path: Path) -> None:
    write_image(staged(tmp_path, arch="arm64"), tmp_path / "image")

    assert "FROM --platform=linux/arm64 " in (tmp_path / "image" / "Dockerfile").read_text()


def test_a_runtime_has_bootstrap_where_lambda_s_own_runtimes_have_it(tmp_path: Path) -> None:
    write_runtime(staged(tmp_path, layout="runtime"), tmp_path / "runtime")

    found = contents(tmp_path / "runtime")
    assert {*found} == {
        "Dockerfile", "bootstrap", "runtime.yaml", "okibi/lib/okibi_start.py",
        "okibi/python/boto3/__init__.py", "okibi/python/app.py",
    }  # fmt: skip
    lines = [line for line in found["Dockerfile"].splitlines() if not line.startswith("#")]
    assert lines[1:] == [
        "COPY okibi/ /var/runtime/okibi/",
        "COPY bootstrap /var/runtime/bootstrap",
        'ENTRYPOINT ["/var/runtime/bootstrap"]',
    ]
    assert "Default: okibi-python3.13\n" in found["runtime.yaml"]


def test_a_layer_has_okibi_beside_the_requirements(tmp_path: Path) -> None:
    package = staged(tmp_path, *(name for name in FILES if name != "app.py"), layout="layer")

    arrange_layer(package)

    assert {*contents(package.folder)} == {
        "okibi-bootstrap", "okibi/lib/okibi_start.py", "python/boto3/__init__.py"
    }  # fmt: skip


def test_every_user_may_read_the_files_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_image(staged(tmp_path), tmp_path / "image")
    finally:
        os.umask(old)

    image = tmp_path / "image"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in image.rglob("*")}
    assert (modes["task"], modes["lib"], modes["bootstrap"]) == (0o755, 0o755, 0o755)
    assert (modes["app.py"], modes["Dockerfile"]) == (0o644, 0o644)
    assert {path.stat().st_mtime for path in image.rglob("*")} == {315532800}


def test_two_builds_are_the_same(tmp_path: Path) -> None:
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        write_image(staged(tmp_path / name), tmp_path / name / "image")
        write_runtime(staged(tmp_path / name, layout="runtime"), tmp_path / name / "runtime")

    for layout in ("image", "runtime"):
        one, another = (contents(tmp_path / name / layout) for name in ("one", "another"))
        assert one == another


def test_a_new_build_replaces_the_folder_of_an_earlier_one(tmp_path: Path) -> None:
    write_image(staged(tmp_path, *FILES, "old.py"), tmp_path / "image")
    write_image(staged(tmp_path / "again"), tmp_path / "image")

    assert not (tmp_path / "image" / "task" / "old.py").exists()


@pytest.mark.parametrize("name", ["notes.txt", "Dockerfile"])
def test_a_folder_with_other_files_is_not_replaced(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    (image / name).write_text("mine\n")

    with pytest.raises(BadInput) as refused:
        write_image(staged(tmp_path), image)

    assert str(refused.value) == (
        f"--output {image}: it exists, and okibi package has not made it; name a new folder, as in"
        " -o image"
    )
    assert (image / name).read_text() == "mine\n"


def test_the_folder_of_an_earlier_build_is_no_part_of_the_next_package(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    write_image(staged(tmp_path / "build"), tmp_path / "image")
    write_runtime(staged(tmp_path / "build2", layout="runtime"), tmp_path / "runtime")

    (tmp_path / "pyproject.toml").write_text('[tool.okibi.package]\nexclude = ["build2"]\n')

    assert find_project(tmp_path).files == ["app.py"]
