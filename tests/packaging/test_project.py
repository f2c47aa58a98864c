"""The user's files, and the list of requirements."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from okibi.packaging.project import (
    PackageSettings,
    find_project,
    find_requirements,
    is_included,
    parse_settings,
)
from okibi.project.bad_input import BadInput

NO_SETTINGS = PackageSettings()


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


@pytest.mark.parametrize(
    "name",
    [
        "app.py",
        "shop/orders.py",
        "data/cities.json",
        "assets/logo.zip",
        "README.md",
        "test_plan.py",
    ],
)
def test_code_and_data_go_into_the_package(name: str) -> None:
    assert is_included(name, NO_SETTINGS)


@pytest.mark.parametrize(
    "name",
    [".env", ".git/config", "shop/.DS_Store", "tests/test_app.py", "shop/tests/test_x.py",
     "build/lib/app.py", "dist/app.whl", "app.egg-info/PKG-INFO", "app.pyc", "uv.lock",
     "pyproject.toml", "requirements-dev.txt", "function-arm64.zip", "function.cdx.json"],
)  # fmt: skip
def test_secrets_tests_and_build_results_are_left_out(name: str) -> None:
    assert not is_included(name, NO_SETTINGS)


def test_include_brings_back_what_is_left_out_by_default() -> None:
    settings = PackageSettings(include=("tests/data/*.json", ".config"))

    assert is_included("tests/data/a.json", settings)
    assert is_included(".config/settings.toml", settings)
    assert not is_included("tests/test_app.py", settings)


def test_exclude_wins_over_include_and_covers_whole_folders() -> None:
    settings = PackageSettings(include=("data",), exclude=("data/raw", "*.md"))

    assert is_included("data/cities.json", settings)
    assert not is_included("data/raw/cities.csv", settings)
    assert not is_included("docs/page.md", settings)


def test_patterns_that_match_none_of_the_user_s_files_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "app.py", "data/big.bin", "notes.md", ".git/HEAD")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.okibi.package]\nexclude = ["*.md", "data/", "data/big.bin", "dta", "boto3/x"]\n'
    )

    project = find_project(tmp_path)

    assert project.files == ["app.py"]
    assert project.unmatched == ["dta", "boto3/x"]


def test_environments_and_the_output_are_no_files_of_the_user(tmp_path: Path) -> None:
    write(tmp_path, "app.py", "env/pyvenv.cfg", "env/lib/x.py", "node_modules/a/b.py")
    write(tmp_path, "__pycache__/app.cpython-313.pyc", "out/function.bin")

    project = find_project(tmp_path, tmp_path / "out" / "function.bin")

    assert project.files == ["app.py"]


@pytest.mark.parametrize("manifest", ["lib", "okibi/lib"])
def test_earlier_packages_are_left_out_and_other_zips_are_not(
    manifest: str, tmp_path: Path
) -> None:
    write(tmp_path, "out/damaged.zip")
    for name, content in (("arm64", f"{manifest}/okibi-package.json"), ("data", "data.json")):
        with zipfile.ZipFile(tmp_path / "out" / f"{name}.zip", "w") as opened:
            opened.writestr(content, "{}")

    assert find_project(tmp_path).files == ["out/damaged.zip", "out/data.zip"]


@pytest.mark.parametrize(
    "name", ["terraform.tfstate", "infra/terraform.tfstate.backup", "cdk.out/asset/app.py"]
)
def test_what_deploying_tools_write_is_left_out(name: str) -> None:
    assert not is_included(name, NO_SETTINGS)


def test_links_are_followed(tmp_path: Path) -> None:
    write(tmp_path, "shared/common.py", "function/app.py")
    (tmp_path / "function" / "shared").symlink_to("../shared")

    assert find_project(tmp_path / "function").files == ["app.py", "shared/common.py"]


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(tmp_path)

    with pytest.raises(BadInput, match="again links to a folder above it"):
        find_project(tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).touch()

    with pytest.raises(BadInput, match="the name is not UTF-8; rename the file"):
        find_project(tmp_path)


def test_a_link_to_nothing_is_refused_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "data.json").symlink_to("missing.json")

    with pytest.raises(BadInput, match=r"data\.json links to missing\.json, which does not exist"):
        find_project(tmp_path)


# -- requirements


PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = []\n'


def test_a_lock_goes_before_pyproject_and_requirements(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    write(tmp_path, "requirements.txt")
    assert find_requirements(tmp_path).kind == "pyproject"

    write(tmp_path, "uv.lock")
    assert find_requirements(tmp_path).kind == "lock"


@pytest.mark.parametrize("text", ["[tool.ruff]\n", '[project]\nname = "shop"\nversion = "1"\n'])
def test_a_pyproject_without_dependencies_leaves_requirements_txt(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    write(tmp_path, "requirements.txt")

    assert find_requirements(tmp_path).kind == "requirements"


def test_requirements_are_looked_for_up_to_the_top_of_the_repository(tmp_path: Path) -> None:
    write(tmp_path, "requirements.txt", "repository/.git/HEAD", "repository/functions/a/app.py")
    inner = tmp_path / "repository" / "functions" / "a"
    assert find_requirements(inner).kind == "none"

    (tmp_path / "repository" / "pyproject.toml").write_text(PROJECT)
    found = find_requirements(inner)
    assert found.file == tmp_path / "repository" / "pyproject.toml"


def test_dependencies_in_poetry_s_table_are_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.poetry.dependencies]\nboto3 = '*'\n")

    with pytest.raises(BadInput, match=r"poetry export -o requirements\.txt"):
        find_requirements(tmp_path)


def test_a_pyproject_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")

    with pytest.raises(BadInput, match=r"pyproject\.toml: not TOML"):
        find_requirements(tmp_path)


# -- settings


def test_settings_are_read_beside_the_requirements(tmp_path: Path) -> None:
    write(tmp_path, "functions/a/app.py", "functions/a/notes.md", ".git/HEAD")
    (tmp_path / "pyproject.toml").write_text(
        f'{PROJECT}[tool.okibi.package]\nexclude = ["*.md"]\nwrapper = "/opt/otel-instrument"\n'
    )

    project = find_project(tmp_path / "functions" / "a")

    assert project.files == ["app.py"]
    assert project.settings.wrapper == "/opt/otel-instrument"


@pytest.mark.parametrize(
    ("table", "message"),
    [({"exclud": []}, "[tool.okibi.package] unknown key 'exclud'; did you mean 'exclude'?"),
     ({"exclude": ["*.md", 5]}, "[tool.okibi.package] exclude = [5]: must be a list of patterns"),
     ({"wrapper": ["/opt/x"]}, "wrapper = ['/opt/x']: must be a path in the layer")],
)  # fmt: skip
def test_a_wrong_setting_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_settings({"tool": {"okibi": {"package": table}}}, "pyproject.toml")

    assert message in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)

    with pytest.raises(BadInput, match="closed: cannot be read"):
        find_project(tmp_path)


def test_a_fifo_is_no_file_of_the_user(tmp_path: Path) -> None:
    write(tmp_path, "app.py")
    subprocess.run(["mkfifo", tmp_path / "pipe"], check=True)

    assert find_project(tmp_path).files == ["app.py"]
