"""Find files of the user's that look like secrets, to say so before they are uploaded."""

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

NAMES = (
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "credentials", "credentials.*", "secrets.*",
    "*.env", ".env", ".env.*",
)  # fmt: skip
CODE = (".py", ".pyi", ".so")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
SHOWN = 5


def find_secrets(files: Iterable[str], read: Callable[[str], bytes]) -> list[str]:
    """List the files that have the name of a secret or begin with a private key.

    Args:
        files: the user's files.
        read: returns the first kilobytes of one of them.
    """
    return [
        name
        for name in files
        if _has_name_of_secret(name.rpartition("/")[2]) or _has_private_key(name, read(name))
    ]


def _has_private_key(name: str, data: bytes) -> bool:
    # In a .pem, certificates may stand before the key.
    find = PRIVATE_KEY.search if name.endswith(".pem") else PRIVATE_KEY.match
    return find(data.lstrip()) is not None


def _has_name_of_secret(name: str) -> bool:
    # A module `secrets.py` may as well read them from Secrets Manager.
    return not name.endswith(CODE) and any(fnmatchcase(name, pattern) for pattern in NAMES)


def secrets_note(found: Sequence[str]) -> str:
    """Say which files look like secrets; "" if none does."""
    if not found:
        return ""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    alone = len(found) == 1
    them, look = ("it", "looks like a secret") if alone else ("them", "look like secrets")
    return (
        f"{', '.join(found[:SHOWN])}{more} {look}, and the package has {them}: name"
        f" {them} in exclude of [tool.okibi.package] if the function does not need {them}"
    )
