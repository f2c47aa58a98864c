"""The HTTP endpoints of the Extensions API."""

from collections.abc import Callable

from ..platform.extensions import Extensions, ExtensionTrigger
from ..platform.states import ApiError
from . import http_responses
from .http_requests import HttpRequest
from .http_responses import ACCEPTED, NOT_FOUND, HttpResponse, error_response, method_not_allowed

EXTENSION = b"/2020-01-01/extension/"
NEXT = EXTENSION + b"event/next"

IDENTIFIER = b"lambda-extension-identifier"

BodyHandler = Callable[[HttpRequest], HttpResponse | None]


def extension_event(event: bytes) -> HttpResponse:
    """Build the response to a pending event/next."""
    return HttpResponse(200, event)


def extension_call(
    extensions: Extensions, request: HttpRequest, wait: Callable[[], Callable[[bytes], None]]
) -> BodyHandler | HttpResponse:
    """Route a request to the Extensions API: return a handler of the body, or an error.

    Args:
        extensions: the extensions of the sandbox.
        request: a request with complete headers.
        wait: parks the connection and returns a function that delivers one event.
    """

    def register(request: HttpRequest) -> HttpResponse:
        name = request.header(b"lambda-extension-name")
        features = request.header(b"lambda-extension-accept-feature")
        registered = extensions.register(name, features, request.body)
        if isinstance(registered, ApiError):
            return error_response(registered)
        identifier, body = registered
        headers = http_responses.JSON + f"Lambda-Extension-Identifier: {identifier}\r\n".encode()
        return HttpResponse(200, body + b"\n", headers)

    def next_event(request: HttpRequest) -> HttpResponse | None:
        refusal = extensions.next(request.header(IDENTIFIER), wait())
        return None if refusal is None else error_response(refusal)

    def fail(call: ExtensionTrigger) -> BodyHandler:
        def reported(request: HttpRequest) -> HttpResponse:
            error_type = request.header(b"lambda-extension-function-error-type")
            refusal = extensions.fail(request.header(IDENTIFIER), call, error_type)
            return ACCEPTED if refusal is None else error_response(refusal)

        return reported

    routes: dict[bytes, tuple[bytes, BodyHandler]] = {
        EXTENSION + b"register": (b"POST", register),
        NEXT: (b"GET", next_event),
        EXTENSION + b"init/error": (b"POST", fail(ExtensionTrigger.INIT_ERROR)),
        EXTENSION + b"exit/error": (b"POST", fail(ExtensionTrigger.EXIT_ERROR)),
    }
    if request.path not in routes:
        return NOT_FOUND
    allowed, finish = routes[request.path]
    return finish if request.method == allowed else method_not_allowed(allowed)
