"""The credentials that sign requests, and the error when there are none."""

__all__ = ["Credentials", "NoCredentials"]


class NoCredentials(Exception):
    """There are no credentials; the text says where they were looked for."""


class Credentials:
    """The keys that sign requests. `repr` shows no key.

    Raises:
        NoCredentials: a key has a line break, as from a file of Windows: it would end its header.

    Attributes:
        access_key, secret_key: the keys.
        token: the session token, or "".
        expires: seconds since the epoch; infinite for keys that do not expire.
    """

    __slots__ = ("access_key", "expires", "secret_key", "token")

    def __init__(
        self, access_key: str, secret_key: str, token: str = "", expires: float = float("inf")
    ) -> None:
        for name, text in (
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("AWS_SESSION_TOKEN", token),
        ):
            if not text.isprintable():
                raise NoCredentials(f"{name} has a line break or another unprintable character")
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token
        self.expires = expires

    def __repr__(self) -> str:
        return "Credentials(***)"
