"""Events of API Gateway's WebSocket APIs."""

from .sample import REGION, TIME_MS, Changes, Event

__all__ = ["websocket_connect", "websocket_disconnect", "websocket_message"]

API = "sampleapi0"
DOMAIN = f"{API}.execute-api.{REGION}.amazonaws.com"
REQUEST_TIME = "01/Jan/2026:12:00:00 +0000"


def websocket_connect(changes: Changes) -> Event:
    """Make an event of a new connection (API Gateway: WebSocket APIs, `$connect`)."""
    headers = {
        "Host": DOMAIN,
        "Sec-WebSocket-Key": "c2FtcGxlLXNhbXBsZS1rZQ==",
        "Sec-WebSocket-Version": "13",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        **dict(changes.headers),
    }
    event: Event = {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": _websocket_context("$connect", "CONNECT"),
        "isBase64Encoded": False,
    }
    if changes.query:
        event["queryStringParameters"] = dict(changes.query)
        event["multiValueQueryStringParameters"] = {
            name: [value for other, value in changes.query if other == name]
            for name, _ in changes.query
        }
    return event


def websocket_message(changes: Changes) -> Event:
    """Make an event of a message (API Gateway: WebSocket APIs, `$default`)."""
    context = _websocket_context("$default", "MESSAGE")
    return {
        "requestContext": context | {"messageId": "SampleMessageId="},
        "body": changes.text('{"action": "greet", "name": "Ada"}'),
        "isBase64Encoded": False,
    }


def websocket_disconnect(_: Changes) -> Event:
    """Make an event of a closed connection (API Gateway: WebSocket APIs, `$disconnect`)."""
    headers = {"Host": DOMAIN, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    context = _websocket_context("$disconnect", "DISCONNECT")
    return {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": context
        | {"disconnectStatusCode": 1000, "disconnectReason": "sample reason"},
        "isBase64Encoded": False,
    }


def _websocket_context(route: str, event_type: str) -> Event:
    return {
        "routeKey": route,
        "eventType": event_type,
        "extendedRequestId": "SampleRequestId=",
        "requestTime": REQUEST_TIME,
        "messageDirection": "IN",
        "stage": "prod",
        "connectedAt": TIME_MS - 1000,
        "requestTimeEpoch": TIME_MS,
        "identity": {"sourceIp": "192.0.2.1", "userAgent": "sample"},
        "requestId": "SampleRequestId=",
        "domainName": DOMAIN,
        "connectionId": "SampleConnectionId=",
        "apiId": API,
    }
