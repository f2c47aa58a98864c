"""Find credentials: in the environment, at the container endpoint, or in a profile.

Lambda sets the keys in the environment. Where keys must change while the process lives (SnapStart,
ECS, EKS), the platform names an HTTP endpoint instead, and the keys are fetched again before they
expire. On a developer's machine the keys are in a profile.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import trio

from .container_endpoint import fetch_credentials, is_configured
from .credentials import Credentials, NoCredentials

__all__ = ["CredentialSource"]

# Seconds before the end of the keys at which new ones are fetched.
EARLY: Final = 300.0
# Seconds between a failed fetch and the next one while the old keys are valid, and for the fetch.
PAUSE: Final = 10.0
PATIENCE: Final = 1.0


class CredentialSource:
    """The credentials of one run of trio.

    Attributes:
        fetches: the number of fetches from the endpoint.
    """

    def __init__(self) -> None:
        self._kept: Credentials | None = None
        self._fetching = trio.Lock()
        self._paused_until = 0.0
        self.fetches = 0

    async def get(self) -> Credentials:
        """Return credentials that are valid.

        Raises:
            NoCredentials: there are none.
        """
        found = _from_environment(os.environ)
        if found is not None:
            return found
        kept = self._kept_if_young()
        if kept is not None:
            return kept
        async with self._fetching:
            # Another call may have fetched meanwhile.
            return self._kept_if_young() or await self._fetch()

    def forget(self, fetches: int) -> bool:
        """Fetch new keys for the next call, as a service has refused the old ones.

        Args:
            fetches: the number of fetches before the refused call. Another call may have fetched
                new keys meanwhile.

        Returns:
            Whether the old keys were fetched.
        """
        if fetches == self.fetches:
            self._kept = None
        return self.fetches > 0

    def _kept_if_young(self) -> Credentials | None:
        kept, now = self._kept, time.time()
        if kept is None or now > kept.expires - (EARLY if now >= self._paused_until else 0.0):
            return None
        return kept

    async def _fetch(self) -> Credentials:
        if not is_configured(os.environ):
            from .profiles import read_credentials

            self._kept = read_credentials(os.environ)
            return self._kept
        kept, now = self._kept, time.time()
        if kept is None or now > kept.expires:
            return await self._fetch_from_endpoint()
        # The keys are valid: no call waits long for newer ones, and no event ends in this wait.
        self._paused_until = now + PAUSE
        with suppress(NoCredentials), trio.move_on_after(PATIENCE):
            return await self._fetch_from_endpoint()
        return kept

    async def _fetch_from_endpoint(self) -> Credentials:
        self._kept = found = await fetch_credentials(os.environ)
        self.fetches += 1
        return found


def _from_environment(variables: Mapping[str, str]) -> Credentials | None:
    access_key = variables.get("AWS_ACCESS_KEY_ID")
    secret_key = variables.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        return None
    return Credentials(access_key, secret_key, variables.get("AWS_SESSION_TOKEN", ""))
