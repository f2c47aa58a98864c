"""The options of a target."""

import pytest

from okibi.packaging.targets import Target, parse_target
from okibi.project.bad_input import BadInput


def test_a_target_has_the_glibc_of_its_system() -> None:
    assert parse_target("3.13", "arm64", "managed") == Target((3, 13), "arm64", "managed", (2, 34))
    assert parse_target("3.11", "x86_64", "managed").glibc == (2, 26)
    # Its own Python on Amazon Linux 2023.
    assert parse_target("3.11", "x86_64", "bundled").glibc == (2, 34)


@pytest.mark.parametrize(("text", "architecture"), [("aarch64", "arm64"), ("amd64", "x86_64")])
def test_other_names_of_processors_are_understood(text: str, architecture: str) -> None:
    assert parse_target("3.13", text, "managed").architecture == architecture


@pytest.mark.parametrize(
    ("options", "message"),
    [(("3.10", "arm64", "managed"), "--python 3.10: must be one of 3.11, 3.12, 3.13, 3.14"),
     (("3.13", "riscv", "managed"), "--arch riscv: must be x86_64 or arm64"),
     (("3.13", "arm64", "zip"),
      "--format zip: must be one of managed, bundled, layer, image, runtime")],
)  # fmt: skip
def test_a_wrong_option_is_refused_with_the_choice(
    options: tuple[str, str, str], message: str
) -> None:
    with pytest.raises(BadInput) as refused:
        parse_target(*options)

    assert str(refused.value) == message
