"""One resolution for okibi and the function, and failures of uv in one sentence."""

from okibi.cli.package.resolve import (
    Pinned,
    Resolution,
    drop_folders,
    parse_resolution,
    python_platform,
    runtime_requirements,
)
from okibi.cli.package.targets import parse_target

COMPILED = """\
attrs==26.1.0             # via outcome, trio, -r /tmp/x/okibi.txt
boto3==1.44.8             # via -r /home/me/shop/requirements.txt
my-lib @ file:///home/me/my_lib-1.0-py3-none-any.whl  # via -r requirements.txt
outcome==1.3.0.post0      # via trio
Typing_Extensions==4.15.0  # via pydantic[email]
trio==0.35.0              # via -r /tmp/x/okibi.txt
"""


def test_the_output_of_uv_is_parsed_with_who_needs_what() -> None:
    packages = {each.name: each for each in parse_resolution(COMPILED)}

    assert packages["attrs"] == Pinned(
        "attrs", "attrs==26.1.0", frozenset({"outcome", "trio", "-r okibi.txt"})
    )
    assert packages["typing-extensions"].via == {"pydantic"}
    assert packages["my-lib"].requirement == (
        "my-lib @ file:///home/me/my_lib-1.0-py3-none-any.whl"
    )


def test_okibi_s_packages_are_those_that_okibi_leads_to() -> None:
    assert Resolution(parse_resolution(COMPILED)).okibis() == {"attrs", "outcome", "trio"}


def test_extras_and_httpx_are_no_requirements_of_a_package() -> None:
    requires = ["trio>=0.30", "httpx>=0.28", "typer>=0.15; extra == 'cli'", 'x; extra=="y"']

    assert runtime_requirements(requires) == (["trio>=0.30"], ["httpx>=0.28"])


def test_wheels_are_chosen_for_the_glibc_of_the_target() -> None:
    assert python_platform(parse_target("3.13", "arm64", "managed")) == "aarch64-manylinux_2_34"
    assert python_platform(parse_target("3.11", "x86_64", "managed")) == "x86_64-manylinux_2_17"


def test_folders_are_no_constraints() -> None:
    lines = ["-e .", "./packages/shop", "attrs==26.1.0 \\", "    --hash=sha256:00", "trio==0.35.0"]

    assert drop_folders(lines) == lines[2:]
