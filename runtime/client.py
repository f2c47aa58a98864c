"""What a mobile SDK says of its client. Imported when a handler asks: few do."""

import json
from typing import Any

import attrs


@attrs.define(eq=False)
class Identity:
    """Who invoked, when the mobile SDK did."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


@attrs.define(eq=False)
class Client:
    """The application of a client context."""

    installation_id: str | None = None
    app_title: str | None = None
    app_version_name: str | None = None
    app_version_code: str | None = None
    app_package_name: str | None = None


@attrs.define(eq=False)
class ClientContext:
    """What the mobile SDK says of its client."""

    custom: Any = None
    env: Any = None
    client: Client | None = None


def client_context(text: str) -> ClientContext:
    """From the JSON of `Lambda-Runtime-Client-Context`."""
    told: dict[str, Any] = json.loads(text)
    client = told.get("client")
    return ClientContext(told.get("custom"), told.get("env"), client and _client(client))


def identity(text: str) -> Identity:
    """From the JSON of `Lambda-Runtime-Cognito-Identity`."""
    told: dict[str, Any] = json.loads(text)
    return Identity(told.get("cognitoIdentityId"), told.get("cognitoIdentityPoolId"))


def _client(told: dict[str, Any]) -> Client:
    names = [field.name for field in attrs.fields(Client)]
    return Client(**{name: told[name] for name in names if name in told})
