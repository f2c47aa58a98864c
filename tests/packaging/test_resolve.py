"""One resolution for okibi and the function, and failures of uv in one sentence."""

from pathlib import Path
from typing import Literal

import pytest

from okibi.packaging.project import Requirements
from okibi.packaging.resolve import (
    Pinned,
    Resolution,
    Uv,
    drop_folders,
    explain_failure,
    named_extras,
    parse_resolution,
    python_platform,
    runtime_requirements,
)
from okibi.packaging.targets import parse_target

TARGET = parse_target("3.13", "arm64", "managed")
UV = Uv("uv", Path(), TARGET)
COMPILED = """\
attrs==26.1.0             # via outcome, trio, -r /tmp/x/okibi.txt
boto3==1.44.8             # via -r /home/me/shop/requirements.txt
my-lib @ https://example.com/my_lib-1.0-py3-none-any.whl#sha256=00  # via -r requirements.txt
outcome==1.3.0.post0      # via trio
Typing_Extensions==4.15.0  # via pydantic[email]
trio==0.35.0              # via -r /tmp/x/okibi.txt
-e file:///home/me/shop/packages/Our%20Prices  # via shop (pyproject.toml)
"""


def test_the_output_of_uv_is_parsed_with_who_needs_what() -> None:
    packages = {each.name: each for each in parse_resolution(COMPILED)}

    assert packages["attrs"] == Pinned(
        "attrs", "attrs==26.1.0", frozenset({"outcome", "trio", "-r okibi.txt"})
    )
    assert packages["typing-extensions"].via == {"pydantic"}
    assert packages["my-lib"].requirement == (
        "my-lib @ https://example.com/my_lib-1.0-py3-none-any.whl#sha256=00"
    )


def test_a_folder_among_the_requirements_is_recognised() -> None:
    (folder,) = (each for each in parse_resolution(COMPILED) if each.is_folder)

    assert folder.requirement == "-e file:///home/me/shop/packages/Our%20Prices"
    assert folder.via == {"shop"}


def test_okibi_s_packages_are_those_that_okibi_leads_to() -> None:
    assert Resolution(parse_resolution(COMPILED), UV).okibis() == {"attrs", "outcome", "trio"}


def test_an_extra_is_a_requirement_only_if_the_function_names_it() -> None:
    requires = ["trio>=0.30", "httpx>=0.28; extra == 'http'", 'x; extra=="y"']

    assert runtime_requirements(requires, frozenset()) == ["trio>=0.30"]
    assert runtime_requirements(requires, frozenset({"http"})) == ["trio>=0.30", "httpx>=0.28"]


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (
            "requirements",
            "requirements.txt",
            "boto3\nokibi [HTTP,cli]>=0.1 # client\n#okibi[x]\n",
        ),
        ("pyproject", "pyproject.toml", "[project]\ndependencies = ['okibi[http,cli]', 'a']\n"),
        ("lock", "pyproject.toml", "[project]\ndependencies = ['okibi[cli, http]>=0.1']\n"),
    ],
)
def test_the_extras_of_okibi_are_found_in_each_list(
    kind: Literal["requirements", "pyproject", "lock"], name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    file = tmp_path / ("uv.lock" if kind == "lock" else name)

    assert named_extras(Requirements(kind, file)) == {"http"}


def test_a_function_without_requirements_has_no_extras() -> None:
    assert named_extras(Requirements()) == frozenset()


def test_wheels_are_chosen_for_the_glibc_of_the_target() -> None:
    assert python_platform(parse_target("3.13", "arm64", "managed")) == "aarch64-manylinux_2_34"
    assert python_platform(parse_target("3.11", "x86_64", "managed")) == "x86_64-manylinux_2_17"


def test_folders_are_no_constraints() -> None:
    lines = ["-e .", "./packages/shop", "attrs==26.1.0 \\", "    --hash=sha256:00", "trio==0.35.0"]

    assert drop_folders(lines) == lines[2:]


NO_WHEEL = "has no wheel for Python 3.13 on arm64; build the wheel on such a system"
CONFLICT = """\
error: No solution found when resolving dependencies:
  cause: Because flask==3.0.2 depends on click>=8.1.3 and you require click==7.0.0, we can conclude
         that your requirements and flask==3.0.2 are incompatible.
         And because you require flask[async]==3.0.2, we can conclude that your requirements are
         unsatisfiable.
"""


PYCRYPTO = """\
error: No solution found when resolving dependencies
  cause: Because pycrypto==2.6.1 has no usable wheels and you require pycrypto==2.6.1, we can
         conclude that your requirements are unsatisfiable.

hint: Wheels are required for `pycrypto` because building from source is disabled for all packages
"""
ONNX = """\
error: No solution found when resolving dependencies
  cause: Because onnxruntime==1.16.0 has no wheels with a matching Python ABI tag (e.g., `cp313`)
         and you require onnxruntime==1.16.0, we can conclude that
         your requirements are unsatisfiable.
"""
DECORD = """\
  \u00d7 No solution found when resolving dependencies:
  \u2570\u2500\u25b6 Because decord<=0.1 have
      no wheels with a matching platform tag
hint: Wheels are available for `decord` (v0.6.0) on the following platforms: `win_amd64`
"""


@pytest.mark.parametrize(
    ("said", "sentence"),
    [(PYCRYPTO, f"pycrypto {NO_WHEEL}"),
     (ONNX, f"onnxruntime {NO_WHEEL}"),
     (DECORD, f"decord {NO_WHEEL}"),
     (CONFLICT, "the requirements on click, flask contradict each other, or those of okibi"),
     ("cause: Because there is no version of flask==99 and you require flask==99",
      "flask==99 does not exist in the package index; choose another version"),
     ("cause: Because nope was not found in the package registry and you require nope",
      "nope does not exist in the package index; correct its name"),
     ("error: Building source distributions is disabled, but attempted to build `foo`",
      "foo is required as sources, which are not built; write -e before a folder, or"),
     ("error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided",
      "uv.lock does not match pyproject.toml; run: uv lock"),
     ("error: Failed to download `x==1`\n cause: Hash mismatch for `x==1`",
      "x==1 is not the file that was locked: its hash differs; find out why"),
     ("cause: Failed to fetch: http://127.0.0.1:9/simple/x/\ncause: error sending request",
      "uv cannot reach the package index; check the network"),
     ("error: unexpected argument '--excludes' found", "okibi package needs uv 0.10 or newer"),
     ("error: something else", "uv cannot install the requirements; correct what uv says")],
)  # fmt: skip
def test_a_failure_of_uv_begins_with_one_sentence(said: str, sentence: str) -> None:
    first, _, rest = explain_failure(said, TARGET).partition("\n")

    assert first.startswith(sentence)
    assert rest == said.rstrip()


def test_another_version_is_named_only_if_one_has_a_wheel() -> None:
    first = explain_failure(ONNX, TARGET, "1.23.2").partition("\n")[0]

    assert first.startswith(
        "onnxruntime has no wheel for Python 3.13 on arm64; choose another version, such as 1.23.2,"
        " or build the wheel on such a system"
    )
