"""The Extensions API, without I/O."""

import json

import pytest

from okibi.local.platform.extensions import TRANSITIONS, ExtensionState, ExtensionTrigger
from tests.support.platform_without_io import (
    ANSWER_OK,
    NEXT,
    ClassicHarness,
    MultiConcurrencyHarness,
    Peer,
    error,
    post,
    read,
)

API = "/2020-01-01/extension/"
ALLOWED = {
    (ExtensionState.REGISTERED, ExtensionTrigger.NEXT): ExtensionState.READY,
    (ExtensionState.REGISTERED, ExtensionTrigger.INIT_ERROR): ExtensionState.INIT_ERROR,
    (ExtensionState.REGISTERED, ExtensionTrigger.EXIT_ERROR): ExtensionState.EXIT_ERROR,
    (ExtensionState.READY, ExtensionTrigger.RELEASE): ExtensionState.RUNNING,
    (ExtensionState.READY, ExtensionTrigger.EXIT_ERROR): ExtensionState.EXIT_ERROR,
    (ExtensionState.RUNNING, ExtensionTrigger.NEXT): ExtensionState.READY,
    (ExtensionState.RUNNING, ExtensionTrigger.EXIT_ERROR): ExtensionState.EXIT_ERROR,
    (ExtensionState.INIT_ERROR, ExtensionTrigger.INIT_ERROR): ExtensionState.INIT_ERROR,
    (ExtensionState.EXIT_ERROR, ExtensionTrigger.EXIT_ERROR): ExtensionState.EXIT_ERROR,
}
UNKNOWN = "ae60e62f-dc7d-40dd-85fa-d3768266d4a0"


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {API}{path} HTTP/1.1", "Host: x"]
    lines += [f"Lambda-Extension-{name.replace('_', '-')}: {it}" for name, it in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def register(name: str, events: str = "", **headers: str) -> bytes:
    return request("POST", "register", f'{{"events":[{events}]}}'.encode(), Name=name, **headers)


def registered(peer: Peer, name: str = "mine", events: str = "") -> str:
    """Register an extension; return its identifier."""
    (answer,) = peer.feed(register(name, events))
    return answer.split(b"Lambda-Extension-Identifier: ")[1].split(b"\r\n")[0].decode()


def event_next(identifier: str) -> bytes:
    return request("GET", "event/next", Identifier=identifier)


def refusal(error_type: str, message: str) -> tuple[int, bytes]:
    return 403, error(message, error_type)


@pytest.mark.parametrize("stage", list(ExtensionState))
@pytest.mark.parametrize("call", list(ExtensionTrigger))
def test_a_call_is_allowed_exactly_where_the_emulator_allows_it(
    stage: ExtensionState, call: ExtensionTrigger
) -> None:
    assert TRANSITIONS[stage].get(call) is ALLOWED.get((stage, call))


def test_registration_returns_the_function() -> None:
    harness = ClassicHarness()
    harness.platform.extensions.handler = "app.handler"

    status, body = harness.connect().request(register("mine"))

    assert status == 200
    assert (
        body == b'{"functionName":"function","functionVersion":"$LATEST","handler":"app.handler"}\n'
    )


def test_registration_returns_the_account_if_that_feature_is_accepted() -> None:
    _, body = (
        ClassicHarness().connect().request(register("mine", Accept_Feature="other, accountId"))
    )

    assert json.loads(body)["accountId"] == "012345678912"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (register(""), refusal("Extension.InvalidExtensionName", "Empty extension name")),
        (
            register("x", '"SHUTDOWN"'),
            refusal(
                "Extension.InvalidEventType",
                "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
            ),
        ),
        (
            register("x", '"FOO"'),
            refusal("Extension.InvalidEventType", "FOO: ErrorInvalidEventType"),
        ),
        (
            request("POST", "register", b'{"events":[],"configurationKeys":["a"]}', Name="x"),
            refusal(
                "InvalidRequestFormat",
                "configurationKeys are deprecated; use environment variables instead",
            ),
        ),
        (
            request("GET", "event/next"),
            refusal(
                "Extension.MissingExtensionIdentifier",
                "Missing Lambda-Extension-Identifier header",
            ),
        ),
        (
            event_next("x"),
            refusal(
                "Extension.InvalidExtensionIdentifier",
                "Invalid Lambda-Extension-Identifier",
            ),
        ),
        (
            event_next(UNKNOWN),
            refusal("Extension.UnknownExtensionIdentifier", f"Unknown extension {UNKNOWN}"),
        ),
        (
            request("POST", "init/error", Identifier=UNKNOWN),
            refusal(
                "Extension.MissingHeader",
                "Lambda-Extension-Function-Error-Type not found",
            ),
        ),
        (request("GET", "register"), (405, b"")),
        (request("GET", "nothing"), (404, b"404 page not found\n")),
    ],
)
def test_refusals_have_the_emulators_texts(given: bytes, expected: tuple[int, bytes]) -> None:
    assert ClassicHarness().connect().request(given) == expected


def test_a_registration_that_is_not_json_is_refused() -> None:
    status, body = (
        ClassicHarness().connect().request(request("POST", "register", b"nope", Name="x"))
    )

    assert status == 403
    assert json.loads(body)["errorType"] == "InvalidRequestFormat"


def test_a_name_registers_only_once() -> None:
    peer = ClassicHarness().connect()
    registered(peer)

    assert peer.request(register("mine")) == refusal(
        "Extension.InvalidExtensionState",
        "Extension with this name already registered",
    )


def test_at_most_ten_extensions_register() -> None:
    peer = ClassicHarness().connect()
    for number in range(10):
        registered(peer, str(number))

    assert peer.request(register("more")) == refusal(
        "Extension.TooManyExtensions", "Extension limit (10) reached"
    )


def test_registration_closes_with_the_runtimes_first_next() -> None:
    harness = ClassicHarness()
    harness.connect().feed(NEXT)

    assert harness.connect().request(register("late")) == refusal(
        "Extension.RegistrationClosed", "Extension registration closed already"
    )


def test_the_first_event_waits_for_every_extension() -> None:
    harness = ClassicHarness()
    runtime, extension = harness.connect(), harness.connect()
    identifier = registered(extension)
    harness.offer()

    assert runtime.feed(NEXT) == []
    assert not harness.platform.initialised
    assert extension.feed(event_next(identifier)) == []

    assert read(runtime.sent[0]) == (200, b'{"a":1}')
    assert harness.platform.initialised


def test_a_second_pending_event_next_is_refused() -> None:
    harness = ClassicHarness()
    peer = harness.connect()
    identifier = registered(peer)
    peer.feed(event_next(identifier))

    assert harness.connect().request(event_next(identifier)) == refusal(
        "Extension.InvalidExtensionState",
        f"State transition from Ready to Ready failed for extension {identifier}."
        " Error: State transition is not allowed",
    )


def test_an_extension_gets_invoke_and_the_next_event_waits_for_it() -> None:
    harness = ClassicHarness()
    harness.platform.extensions.function_arn = "arn:function"
    runtime, extension = harness.connect(), harness.connect()
    identifier = registered(extension, events='"INVOKE"')
    extension.feed(event_next(identifier))
    runtime.feed(NEXT)
    harness.offer()

    assert json.loads(read(extension.sent[-1])[1]) == {
        "eventType": "INVOKE",
        "deadlineMs": 1700000003000,
        "requestId": "id-1",
        "invokedFunctionArn": "arn:function",
    }
    runtime.feed(post("invocation/id-1/response", b"1") + NEXT)
    harness.offer(b"2")
    assert read(runtime.sent[-1]) == (202, ANSWER_OK)
    extension.feed(event_next(identifier))
    assert read(runtime.sent[-1]) == (200, b"2")


def test_an_error_of_an_extension_is_reported() -> None:
    harness = ClassicHarness()
    failures: list[str] = []
    harness.platform.extensions.on_failure = failures.append
    peer = harness.connect()
    identifier = registered(peer)

    failed = request("POST", "init/error", Identifier=identifier, Function_Error_Type="X.Y")
    assert peer.request(failed) == (202, ANSWER_OK)
    assert failures == ["Extension.InitError"]


def test_multi_concurrency_gives_extensions_no_events() -> None:
    harness = MultiConcurrencyHarness()
    harness.platform.extensions.takes_events = False

    assert harness.connect().request(register("x", '"INVOKE"')) == refusal(
        "Extension.InvalidEventType", "No events allowed for internal extensions"
    )
