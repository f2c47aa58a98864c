"""A user's file and a package never share a path, and nothing hides a module of okibi's."""

import pytest

from okibi.packaging.staging import find_conflict

OWNERS = {
    "requests/__init__.py": "requests",
    "requests/api.py": "requests",
    "lib/trio/__init__.py": "trio",
    "lib/attr/__init__.py": "attrs",
}


def test_files_beside_packages_are_no_conflict() -> None:
    assert find_conflict(["app.py", "shop/api.py", "lib/prices.py"], OWNERS) == ""


def test_a_package_that_is_also_in_the_user_s_folder_is_named() -> None:
    assert find_conflict(["app.py", "requests/api.py"], OWNERS) == (
        "requests/api.py is in your folder, and the requirements install it too (requests); remove"
        " your copy, or the requirement"
    )


@pytest.mark.parametrize(
    ("name", "owner"),
    [("requests.py", "requests"), ("trio.py", "okibi's own"), ("attr/__init__.py", "okibi's own")],
)
def test_a_module_that_a_package_would_hide_is_refused(name: str, owner: str) -> None:
    module = name.removesuffix(".py").removesuffix("/__init__")
    assert find_conflict([name], OWNERS) == (
        f"{name} would be hidden by the package {module} ({owner}); rename your module"
    )


@pytest.mark.parametrize(
    "name",
    [
        "trio/data.json",
        "shop/trio.py",
        "requests.md",
        "lib/x.py",
        "bootstrap.py",
        "shop/lib/json.py",
    ],
)
def test_files_that_only_resemble_a_package_are_no_conflict(name: str) -> None:
    assert find_conflict([name], OWNERS) == ""


@pytest.mark.parametrize(
    ("name", "what"),
    [("lib/logging.py", "would hide a module of the same name"),
     ("lib/trio/x.py", "would hide a module of the same name"),
     ("lib/okibi_start.py", "would hide a module of the same name"),
     ("bootstrap", "would replace the script that starts the function"),
     ("bootstrap/css/a.css", "would replace the script that starts the function"),
     ("sitecustomize.py", "would run before okibi"),
     ("lib/usercustomize/__init__.py", "would run before okibi")],
)  # fmt: skip
def test_a_file_that_would_replace_what_starts_the_function_is_refused(
    name: str, what: str
) -> None:
    conflict = find_conflict([name], OWNERS)

    assert conflict.startswith(f"{name} {what}")
    assert conflict.endswith("; rename it, or name it in exclude of [tool.okibi.package]")
