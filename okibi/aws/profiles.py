"""Profiles of the AWS CLI, for a developer's machine: ~/.aws/credentials and ~/.aws/config.

Only keys in the files are read. A profile that logs in by SSO, assumes a role or runs a command
needs boto3 or the CLI, which know those ways.
"""

from collections.abc import Mapping
from configparser import ConfigParser, Error
from pathlib import Path

from .credentials import Credentials, NoCredentials

__all__ = ["read_credentials", "read_region"]


def read_credentials(variables: Mapping[str, str]) -> Credentials:
    """Return the keys of the profile that AWS_PROFILE names, or of `default`.

    Raises:
        NoCredentials: the profile has no keys.
    """
    name, settings = _read_profile(variables)
    access_key = settings.get("aws_access_key_id")
    secret_key = settings.get("aws_secret_access_key")
    if access_key and secret_key:
        return Credentials(access_key, secret_key, settings.get("aws_session_token", ""))
    if not settings:
        raise NoCredentials(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and there is no profile "
            f"{name!r} in ~/.aws"
        )
    raise NoCredentials(
        f"the profile {name!r} has no aws_access_key_id and aws_secret_access_key. For a login or "
        f'a role, set the variables: eval "$(aws configure export-credentials --profile {name} '
        '--format env)"'
    )


def read_region(variables: Mapping[str, str]) -> str | None:
    """Return the region of the profile, or None."""
    return _read_profile(variables)[1].get("region")


def _read_profile(variables: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    name = variables.get("AWS_PROFILE") or "default"
    settings = dict[str, str]()
    # The credentials file wins, as with the AWS CLI.
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "~/.aws/config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", name),
    ):
        path = Path(variables.get(variable) or file).expanduser()
        parser = ConfigParser(interpolation=None, strict=False, default_section="")
        try:
            parser.read(path, "utf-8")
        except (Error, UnicodeDecodeError):
            raise NoCredentials(f"{path} cannot be read: it is no configuration file") from None
        if parser.has_section(section):
            if "aws_access_key_id" in parser[section]:
                # The file that has the keys has their token, too.
                settings.pop("aws_session_token", None)
            settings.update(parser[section])
    return name, settings
