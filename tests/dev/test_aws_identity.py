"""The AWS identity of the sandboxes: none unless asked for, and never a secret in its name."""

from pathlib import Path

import pytest

from okibi.dev.aws_identity import choose_identity, describe_identity
from okibi.local import FunctionSettings
from okibi.local.sandbox.environment import sandbox_environment
from okibi.project.bad_input import BadInput

CONFIG = """
[default]
region = eu-central-1
[profile work]
sso_account_id = 111122223333
[profile admin]
role_arn = arn:aws:iam::444455556666:role/admin
source_profile = work
[sso-session corp]
sso_region = eu-central-1
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(
        "[old]\naws_access_key_id = AKIAOLD\naws_secret_access_key = hunter2\n"
    )
    return tmp_path


def test_no_credential_of_the_shell_reaches_a_sandbox_by_default(home: Path) -> None:
    shell = {
        "HOME": str(home), "PATH": "/bin", "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIA1234", "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_SESSION_TOKEN": "hunter2", "AWS_PROFILE": "work", "AWS_CONFIG_FILE": "hunter2",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://hunter2",
        "AWS_BEARER_TOKEN_BEDROCK": "hunter2", "AWS_BEARER_TOKEN_OTHER": "hunter2",
    }  # fmt: skip

    identity = choose_identity(shell, aws=False, profile=None)

    variables = sandbox_environment(
        FunctionSettings("app.handler"), "127.0.0.1:1", identity.variables
    )
    assert identity.description == "none; --aws gives the one of your shell"
    assert "hunter2" not in str(variables)
    assert "AWS_PROFILE" not in variables
    assert variables["AWS_ACCESS_KEY_ID"] == "local"
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-central-1"
    # A profile that the function names itself is not found either.
    assert variables["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"


@pytest.mark.parametrize(
    ("shell", "profile", "description"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIA5678WXYZ"}, None, "access key ...WXYZ of your shell"),
        ({"AWS_PROFILE": "work"}, None, "profile work, account 111122223333"),
        ({}, None, "profile default"),
        ({}, "admin", "profile admin, account 444455556666"),
        ({"AWS_ACCESS_KEY_ID": "AKIA5678WXYZ"}, "old", "profile old"),
    ],
)
def test_an_identity_is_passed_and_named_when_asked_for(
    shell: dict[str, str], profile: str | None, description: str, home: Path
) -> None:
    shell = {"HOME": str(home), **shell}

    identity = choose_identity(shell, aws=profile is None, profile=profile)

    variables = sandbox_environment(
        FunctionSettings("app.handler"), "127.0.0.1:1", identity.variables
    )
    assert identity.description == description
    key = None if "profile" in description else "AKIA5678WXYZ"
    assert variables.get("AWS_ACCESS_KEY_ID") == key
    name = description.split()[1].rstrip(",") if "profile" in description else None
    assert variables.get("AWS_PROFILE") == name


@pytest.mark.parametrize(
    ("aws", "profile", "reason"),
    [
        (True, "work", "--aws and --profile: give one of them"),
        (
            False,
            "gone",
            "--profile gone: ~/.aws has no profile 'gone'; it has default, work, admin",
        ),
    ],
)
def test_a_profile_that_does_not_exist_is_refused(
    aws: bool, profile: str, reason: str, home: Path
) -> None:
    with pytest.raises(BadInput, match=reason):
        choose_identity({"HOME": str(home)}, aws=aws, profile=profile)


def test_without_a_profile_the_identity_of_the_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--aws: ~/.aws has no profile 'default'; it has no profil"):
        choose_identity({"HOME": str(tmp_path)}, aws=True, profile=None)


@pytest.mark.parametrize(
    "variable", ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
)
def test_the_role_of_a_container_is_passed_when_asked_for(variable: str, tmp_path: Path) -> None:
    shell = {"HOME": str(tmp_path), variable: "/role"}

    identity = choose_identity(shell, aws=True, profile=None)

    assert identity.description == "the role of this machine"
    assert identity.variables[variable] == "/role"


KEYS = {"AWS_ACCESS_KEY_ID": "AKIA5678WXYZ", "AWS_SECRET_ACCESS_KEY": "hunter2"}


@pytest.mark.parametrize(
    ("variables", "profile", "description"),
    [
        ({}, None, "none; --aws gives the one of your shell"),
        (KEYS, None, "access key ...WXYZ of --env-file"),
        (KEYS, "work", "access key ...WXYZ of --env-file"),
        (
            {"AWS_PROFILE": "admin"},
            None,
            "none; --env-file names profile admin, --profile admin gives it",
        ),
        ({"AWS_PROFILE": "admin"}, "work", "profile admin of --env-file"),
    ],
)
def test_an_identity_of_the_env_file_is_named(
    variables: dict[str, str], profile: str | None, description: str, home: Path
) -> None:
    identity = choose_identity({"HOME": str(home)}, aws=False, profile=profile)

    assert describe_identity(identity, variables) == description
