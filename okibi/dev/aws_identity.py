"""The AWS identity of the sandboxes: none, that of the shell, or a profile."""

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

import attrs

from ..project.bad_input import BadInput

# The variables from which an AWS SDK takes an identity.
CREDENTIALS = frozenset(
    {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
        *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CREDENTIAL_EXPIRATION"),
        *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"),
    }
)

# Begins the variables with a token for one service, such as AWS_BEARER_TOKEN_BEDROCK.
BEARER_TOKEN = "AWS_BEARER_TOKEN_"

# The variables that EKS, ECS and CloudShell set.
MACHINE_ROLES = frozenset(
    {
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    }
)

# On Lambda there is no ~/.aws.
NO_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_CONFIG_FILE": "/dev/null"}

ACCOUNT = re.compile(r"\d{12}")


@attrs.frozen
class AwsIdentity:
    """The AWS variables that the sandboxes inherit.

    Args:
        description: a name of the identity without a secret.
        variables: the variables that the sandboxes inherit.
    """

    description: str
    variables: Mapping[str, str] = attrs.field(repr=False)


def choose_identity(shell: Mapping[str, str], *, aws: bool, profile: str | None) -> AwsIdentity:
    """Choose the AWS identity of the sandboxes.

    Args:
        shell: the variables of the shell.
        aws: the identity of the shell.
        profile: a profile of ~/.aws.

    Raises:
        BadInput: the identity does not exist.
    """
    if aws and profile:
        raise BadInput("--aws and --profile: give one of them")
    bare = {
        name: value
        for name, value in shell.items()
        if name not in CREDENTIALS and not name.startswith(BEARER_TOKEN)
    }
    if not aws and not profile:
        return AwsIdentity("none; --aws gives the one of your shell", {**bare, **NO_FILES})
    files = {name: shell[name] for name in NO_FILES if name in shell}
    if profile is None and (key := shell.get("AWS_ACCESS_KEY_ID")):
        # As in an AWS SDK, keys in the environment win over a profile.
        return AwsIdentity(f"access key ...{key[-4:]} of your shell", shell)
    name = profile or shell.get("AWS_PROFILE") or shell.get("AWS_DEFAULT_PROFILE") or "default"
    profiles = _read_profiles(shell)
    if name in profiles:
        account = _find_account(profiles[name])
        where = f", account {account}" if account else ""
        return AwsIdentity(f"profile {name}{where}", {**bare, **files, "AWS_PROFILE": name})
    if aws and shell.keys() & MACHINE_ROLES:
        return AwsIdentity("the role of this machine", shell)
    has = f"it has {', '.join(profiles)}" if profiles else "it has no profiles"
    option = f"--profile {profile}" if profile else "--aws"
    raise BadInput(f"{option}: ~/.aws has no profile {name!r}; {has}; run `aws configure`")


def describe_identity(identity: AwsIdentity, variables: Mapping[str, str]) -> str:
    """Name the identity that the sandboxes have, without a secret.

    Args:
        identity: the identity that the sandboxes inherit.
        variables: the variables of --env-file, which override the identity.
    """
    if key := variables.get("AWS_ACCESS_KEY_ID"):
        # As in an AWS SDK, keys in the environment win over a profile.
        return f"access key ...{key[-4:]} of --env-file"
    if profile := variables.get("AWS_PROFILE"):
        if identity.variables.get("AWS_CONFIG_FILE") == NO_FILES["AWS_CONFIG_FILE"]:
            return f"none; --env-file names profile {profile}, --profile {profile} gives it"
        return f"profile {profile} of --env-file"
    return identity.description


def _read_profiles(shell: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Read the profiles of ~/.aws, without the secrets."""
    folder = Path(shell.get("HOME", "~")).expanduser() / ".aws"
    found: dict[str, dict[str, str]] = {}
    for variable, name in (
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(Path(shell.get(variable) or folder / name).expanduser(), "utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise BadInput(f"~/.aws/{name}: cannot be read; correct the file") from error
        for section in parser.sections():
            profile = section.removeprefix("profile ").strip()
            if profile.startswith(("sso-session ", "services ")):
                continue
            public = ("sso_account_id", "role_arn", "aws_account_id")
            found.setdefault(profile, {}).update(
                {key: value for key, value in parser.items(section) if key in public}
            )
    return found


def _find_account(profile: Mapping[str, str]) -> str:
    found = ACCOUNT.search(" ".join(profile.values()))
    return found[0] if found else ""
