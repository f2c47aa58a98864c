"""The client context and Cognito identity of a mobile SDK, and the W3C trace context.

Imported when an event has such a header, which is rare.
"""

import json
from typing import Any, cast

import attrs

from ..codec.json import LambdaContextUnmarshalError
from ..in_flight.delivery import Delivery
from ..protocol.runtime_api import CLIENT_CONTEXT, COGNITO_IDENTITY

# The fields of a W3C trace context; others are ignored.
TRACE_FIELDS = ("traceparent", "tracestate", "baggage")


@attrs.define(eq=False, repr=False)
class _OfficialRepr:
    """Has the official client's repr; the subclasses have the official names."""

    def __repr__(self) -> str:
        fields = attrs.fields(type(self))
        shown = ",".join(f"{field.name}={getattr(self, field.name)}" for field in fields)
        return f"{type(self).__name__}([{shown}])"


@attrs.define(eq=False, repr=False)
class CognitoIdentity(_OfficialRepr):
    """The Cognito identity of the caller, sent by a mobile SDK."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


@attrs.define(eq=False, repr=False)
class Client(_OfficialRepr):
    """The mobile application of a client context."""

    installation_id: str | None = None
    app_title: str | None = None
    app_version_name: str | None = None
    app_version_code: str | None = None
    app_package_name: str | None = None


@attrs.define(eq=False, repr=False)
class ClientContext(_OfficialRepr):
    """The client context that a mobile SDK sends."""

    custom: Any = None
    env: Any = None
    client: Client | None = None


def client_context(delivery: Delivery) -> ClientContext | None:
    """Parse the header `Lambda-Runtime-Client-Context`, without the trace context in the header."""
    fields = _parse(delivery, CLIENT_CONTEXT, "Client Context")
    if fields is None:
        return None
    client: Any = fields.get("client")
    if client is not None and not _is_object(client):
        raise LambdaContextUnmarshalError(
            "Unable to parse Client Context JSON: `client` is not an object"
        )
    return ClientContext(
        fields.get("custom"), fields.get("env"), None if client is None else _build_client(client)
    )


def identity(delivery: Delivery) -> CognitoIdentity:
    """Parse the header `Lambda-Runtime-Cognito-Identity`; without one, all fields are None."""
    fields = _parse(delivery, COGNITO_IDENTITY, "Cognito Identity") or {}
    return CognitoIdentity(fields.get("cognitoIdentityId"), fields.get("cognitoIdentityPoolId"))


def trace_context(delivery: Delivery) -> dict[str, str]:
    """Return the W3C trace context, which arrives inside the client context."""
    fields: Any = (_parse(delivery, CLIENT_CONTEXT, "Client Context") or {}).get("w3c")
    if not _is_object(fields):
        return {}
    return {name: fields[name] for name in TRACE_FIELDS if isinstance(fields.get(name), str)}


def _parse(delivery: Delivery, header: bytes, name: str) -> dict[str, Any] | None:
    # Runtime API: some modes send an empty header instead of none.
    sent = delivery.headers.get(header)
    if not sent:
        return None
    try:
        fields: Any = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise LambdaContextUnmarshalError(f"Unable to parse {name} JSON: {error}") from error
    if fields is not None and not _is_object(fields):
        raise LambdaContextUnmarshalError(f"Unable to parse {name} JSON: not an object")
    return cast("dict[str, Any] | None", fields)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _build_client(fields: dict[str, Any]) -> Client:
    names = [field.name for field in attrs.fields(Client)]
    return Client(**{name: fields.get(name) for name in names})
