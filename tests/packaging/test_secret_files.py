"""Files of the user's that look like secrets are named."""

import pytest

from okibi.packaging.secret_files import find_secrets, secrets_note

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n"


@pytest.mark.parametrize(
    "name",
    ["id_rsa", "keys/id_ed25519", "credentials", "credentials.json", "secrets.yaml", "prod.env",
     ".env.local"],
)  # fmt: skip
def test_the_name_of_a_secret_is_enough(name: str) -> None:
    assert find_secrets([name], lambda _: b"") == [name]


@pytest.mark.parametrize(
    ("name", "data"),
    [("deploy.key", KEY), ("key", b"\n-----BEGIN PRIVATE KEY-----"), ("a.pem", CERTIFICATE + KEY)],
)
def test_a_private_key_is_found_under_any_name(name: str, data: bytes) -> None:
    assert find_secrets([name], lambda _: data) == [name]


@pytest.mark.parametrize(
    ("name", "data"),
    [("ca.pem", CERTIFICATE), ("shop/secrets.py", b"import boto3"), ("environment.json", b"{}"),
     ("sign.py", b'HEAD = b"' + KEY + b'"')],
)  # fmt: skip
def test_certificates_and_modules_are_no_secrets(name: str, data: bytes) -> None:
    assert find_secrets([name], lambda _: data) == []


def test_one_note_names_them_and_the_cure() -> None:
    assert secrets_note([]) == ""
    assert secrets_note(["id_rsa"]) == (
        "id_rsa looks like a secret, and the package has it: name it in exclude of"
        " [tool.okibi.package] if the function does not need it"
    )
    assert secrets_note([f"{number}.env" for number in range(7)]).startswith(
        "0.env, 1.env, 2.env, 3.env, 4.env and 2 more look like secrets, and the package has them:"
    )
