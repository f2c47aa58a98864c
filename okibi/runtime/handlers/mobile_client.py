"""What a mobile SDK says of its client, and a tracer of its trace.

Imported when an event brings such a header: few do.
"""

import json
from typing import Any, cast

import attrs

from ..codec.json import LambdaContextUnmarshalError
from ..in_flight.delivery import Delivery
from ..protocol.runtime_api import CLIENT_CONTEXT, COGNITO_IDENTITY

# W3C trace context; whatever else stands beside these is none.
TRACE_FIELDS = ("traceparent", "tracestate", "baggage")


@attrs.define(eq=False, repr=False)
class _Told:
    """What has the official client's form when it is shown."""

    def __repr__(self) -> str:
        fields = attrs.fields(type(self))
        told = ",".join(f"{field.name}={getattr(self, field.name)}" for field in fields)
        return f"{type(self).__name__}([{told}])"


@attrs.define(eq=False, repr=False)
class CognitoIdentity(_Told):
    """Who invoked, when the mobile SDK did."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


@attrs.define(eq=False, repr=False)
class Client(_Told):
    """The application of a client context."""

    installation_id: str | None = None
    app_title: str | None = None
    app_version_name: str | None = None
    app_version_code: str | None = None
    app_package_name: str | None = None


@attrs.define(eq=False, repr=False)
class ClientContext(_Told):
    """What the mobile SDK says of its client."""

    custom: Any = None
    env: Any = None
    client: Client | None = None


def client_context(delivery: Delivery) -> ClientContext | None:
    """From `Lambda-Runtime-Client-Context`; the trace context in it is not shown here."""
    told = _object(delivery, CLIENT_CONTEXT, "Client Context")
    if told is None:
        return None
    client: Any = told.get("client")
    if client is not None and not _is_object(client):
        raise LambdaContextUnmarshalError(
            "Unable to parse Client Context JSON: `client` is no object"
        )
    return ClientContext(
        told.get("custom"), told.get("env"), None if client is None else _picked(Client, client)
    )


def identity(delivery: Delivery) -> CognitoIdentity:
    """From `Lambda-Runtime-Cognito-Identity`; empty without it."""
    told = _object(delivery, COGNITO_IDENTITY, "Cognito Identity") or {}
    return CognitoIdentity(told.get("cognitoIdentityId"), told.get("cognitoIdentityPoolId"))


def trace_context(delivery: Delivery) -> dict[str, str]:
    """The W3C trace context that came in the client context."""
    told: Any = (_object(delivery, CLIENT_CONTEXT, "Client Context") or {}).get("w3c")
    if not _is_object(told):
        return {}
    return {name: told[name] for name in TRACE_FIELDS if isinstance(told.get(name), str)}


def _object(delivery: Delivery, header: bytes, name: str) -> dict[str, Any] | None:
    # An empty header is an absent one (Runtime API: some modes send them so).
    sent = delivery.headers.get(header)
    if not sent:
        return None
    try:
        told: Any = json.loads(sent)
    except (ValueError, RecursionError) as error:
        raise LambdaContextUnmarshalError(f"Unable to parse {name} JSON: {error}") from error
    if told is not None and not _is_object(told):
        raise LambdaContextUnmarshalError(f"Unable to parse {name} JSON: it is no object")
    return cast("dict[str, Any] | None", told)


def _is_object(told: object) -> bool:
    return isinstance(told, dict)


def _picked(kind: type[Client], told: dict[str, Any]) -> Client:
    return kind(**{field.name: told.get(field.name) for field in attrs.fields(kind)})
