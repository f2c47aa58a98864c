"""The event type of handlers that serve HTTP.

Imported when a function uses the class.
"""

from binascii import a2b_base64
from typing import Any, TypeVar

from ..codec.import_msgspec import import_msgspec

import_msgspec()
import msgspec  # noqa: E402

from ..codec.typed_json import decode_json  # noqa: E402

T = TypeVar("T")
_NAMES = {
    "request_context": "requestContext",
    "_method": "httpMethod",
    "_path": "path",
    "_raw_path": "rawPath",
    "_headers": "headers",
    "_header_lists": "multiValueHeaders",
    "_query": "queryStringParameters",
    "_query_lists": "multiValueQueryStringParameters",
    "_variables": "pathParameters",
    "_cookies": "cookies",
    "_body": "body",
    "_encoded": "isBase64Encoded",
}


class HttpEvent(msgspec.Struct, frozen=True, kw_only=True, rename=_NAMES):
    """A request of a function URL, an HTTP API, a REST API or a load balancer.

        class Greeter(Handler[HttpEvent]):
            async def handle(self, event: HttpEvent, context: Context) -> dict[str, object]:
                return {"message": f"hello {event.query.get('name', 'world')}"}

    Attributes:
        request_context: `requestContext` as the service sends it, with the caller's identity.
    """

    request_context: dict[str, Any]
    _method: str = ""
    _path: str = ""
    _raw_path: str = ""
    _headers: dict[str, str] | None = None
    _header_lists: dict[str, list[str]] | None = None
    _query: dict[str, str] | None = None
    _query_lists: dict[str, list[str]] | None = None
    _variables: dict[str, str] | None = None
    _cookies: list[str] | None = None
    _body: str | None = None
    _encoded: bool = False

    @property
    def method(self) -> str:
        """The method, such as GET."""
        return self._method or str(self.request_context["http"]["method"])

    @property
    def path(self) -> str:
        """The path, percent-encoded or not, as the service sends it."""
        return self._path or self._raw_path

    @property
    def query(self) -> dict[str, str]:
        """The query parameters.

        Of several values, a function URL and an HTTP API send all, with commas between; the others
        send the last. A load balancer does not decode them.
        """
        last = {name: values[-1] for name, values in (self._query_lists or {}).items()}
        return {**last, **(self._query or {})}

    @property
    def path_parameters(self) -> dict[str, str]:
        """The variables in the path of an API's route."""
        return self._variables or {}

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case; several values of a header are joined."""
        headers = {name.lower(): value for name, value in (self._headers or {}).items()}
        for name, values in (self._header_lists or {}).items():
            name = name.lower()
            headers[name] = ("; " if name == "cookie" else ", ").join(values)
        return headers

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies, by name."""
        pairs = self._cookies or self.headers.get("cookie", "").split(";")
        split = (pair.strip().partition("=") for pair in pairs)
        return {name: value for name, _, value in split if name}

    @property
    def body(self) -> bytes:
        """The body, decoded from Base64."""
        text = self._body or ""
        return a2b_base64(text) if self._encoded else text.encode()

    def json(self, kind: type[T]) -> T:
        """Decode the body from JSON into a type that `Handler[...]` takes as well.

        Raises:
            ValueError: the body does not fit the type; the message names the field and shows no
                value.
        """
        found: T = decode_json(self.body, kind)
        return found
