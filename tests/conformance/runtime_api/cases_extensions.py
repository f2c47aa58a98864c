"""The cases of the Extensions API, as far as they concern a runtime."""

from tests.conformance.runtime_api.cases import ACCEPTED, SHORT_WAIT, case, post
from tests.conformance.runtime_api.peer import NO_ANSWER, request
from tests.conformance.runtime_api.session import EVENT, EXTENSION, NEXT, ApiSession

UNKNOWN = "ae60e62f-dc7d-40dd-85fa-d3768266d4a0"


def refusal(error_type: str, message: str) -> str:
    return f'{{"errorMessage":"{message}","errorType":"{error_type}"}}\n'


def check_registration_errors(session: ApiSession) -> None:
    peer = session.connect()
    empty = peer.ask(session.registration(""))
    expected = refusal("Extension.InvalidExtensionName", "Empty extension name")
    session.expect("no name", empty, 403, expected)
    old = b'{"events":[],"configurationKeys":["a"]}'
    answer = peer.ask(request("POST", f"{EXTENSION}register", old, "Lambda-Extension-Name: x"))
    words = "configurationKeys are deprecated; use environment variables instead"
    session.expect("old keys", answer, 403, refusal("InvalidRequestFormat", words))
    answer = peer.ask(request("POST", f"{EXTENSION}register", b"no", "Lambda-Extension-Name: x"))
    is_format = b"InvalidRequestFormat" in answer.body and answer.status == 403
    session.expect_text("no JSON", str(is_format), "True")
    session.register(peer, "mine")
    words = "Extension with this name already registered"
    expected = refusal("Extension.InvalidExtensionState", words)
    session.expect("twice", peer.ask(session.registration("mine")), 403, expected)
    for number in range(9):
        session.register(peer, str(number))
    expected = refusal("Extension.TooManyExtensions", "Extension limit (10) reached")
    session.expect("the eleventh", peer.ask(session.registration("more")), 403, expected)


def check_identifier_errors(session: ApiSession) -> None:
    peer = session.connect()
    session.register(peer, "mine")
    words = "Missing Lambda-Extension-Identifier header"
    expected = refusal("Extension.MissingExtensionIdentifier", words)
    for method, path in (("GET", "event/next"), ("POST", "init/error"), ("POST", "exit/error")):
        session.expect(path, peer.ask(request(method, EXTENSION + path)), 403, expected)
    words = "Invalid Lambda-Extension-Identifier"
    expected = refusal("Extension.InvalidExtensionIdentifier", words)
    session.expect("no identifier", peer.ask(session.event_next("x")), 403, expected)
    words = f"Unknown extension {UNKNOWN}"
    expected = refusal("Extension.UnknownExtensionIdentifier", words)
    session.expect("unknown", peer.ask(session.event_next(UNKNOWN)), 403, expected)
    session.expect("GET register", peer.ask(request("GET", f"{EXTENSION}register")), 405)
    not_found = b"404 page not found\n"
    session.expect("nothing", peer.ask(request("GET", f"{EXTENSION}nothing")), 404, not_found)


def check_init_waits_for_the_extension(session: ApiSession) -> None:
    extension, runtime = session.connect(), session.connect()
    identifier = session.register(extension, "mine")
    runtime.send(NEXT)
    held_up = runtime.read(SHORT_WAIT)
    session.expect("the event before event/next", held_up, *NO_ANSWER[:2])
    extension.send(session.event_next(identifier))
    session.expect("event/next", extension.read(SHORT_WAIT), *NO_ANSWER[:2])
    session.expect("the event after it", runtime.read(), 200, EVENT)
    late = session.connect().ask(session.registration("late"))
    words = "Extension registration closed already"
    session.expect("late", late, 403, refusal("Extension.RegistrationClosed", words))


def how_the_process_ended(session: ApiSession) -> str:
    lines = session.log.read_text().splitlines()
    return "asked" if "asked to end" in lines else "killed"


@case(12)
def invalid_registrations_are_refused(session: ApiSession) -> None:
    session.invoke()
    check_registration_errors(session)


@case(12, "many")
def invalid_registrations_are_refused_with_many(session: ApiSession) -> None:
    check_registration_errors(session)


@case(12)
def invalid_identifiers_are_refused(session: ApiSession) -> None:
    session.invoke()
    check_identifier_errors(session)


@case(12, "many")
def invalid_identifiers_are_refused_with_many(session: ApiSession) -> None:
    check_identifier_errors(session)


@case(12)
def an_internal_extension_registers_for_invoke_only(session: ApiSession) -> None:
    session.invoke()
    peer = session.connect()
    words = "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"
    expected = refusal("Extension.InvalidEventType", words)
    session.expect("SHUTDOWN", peer.ask(session.registration("x", '"SHUTDOWN"')), 403, expected)
    expected = refusal("Extension.InvalidEventType", "X: ErrorInvalidEventType")
    session.expect("X", peer.ask(session.registration("x", '"X"')), 403, expected)
    answer = peer.ask(session.registration("x", '"INVOKE"'))
    session.expect_text("INVOKE", str(answer.status), "200")


@case(12, "many")
def an_internal_extension_registers_for_nothing_with_many(session: ApiSession) -> None:
    peer = session.connect()
    words = "No events allowed for internal extensions"
    expected = refusal("Extension.InvalidEventType", words)
    for event in ("SHUTDOWN", "INVOKE"):
        answer = peer.ask(session.registration("x", f'"{event}"'))
        session.expect(event, answer, 403, expected)


@case(12)
def the_first_event_waits_for_each_extension(session: ApiSession) -> None:
    session.invoke()
    check_init_waits_for_the_extension(session)


@case(12, "many")
def the_first_event_waits_for_each_extension_with_many(session: ApiSession) -> None:
    runtime = session.connect()
    del runtime
    session.invoke()
    check_init_waits_for_the_extension(session)


@case(12)
def a_second_event_next_is_refused_while_the_first_waits(session: ApiSession) -> None:
    invoker, extension, runtime = session.invoke(), session.connect(), session.connect()
    identifier = session.register(extension, "mine")
    extension.send(session.event_next(identifier))
    request_id = session.id_of(runtime.ask(NEXT))
    again = session.connect().ask(session.event_next(identifier))
    words = (
        "State transition from Ready to Ready failed for extension EXT."
        " Error: State transition is not allowed"
    )
    session.expect("again", again, 403, refusal("Extension.InvalidExtensionState", words))
    runtime.send(post(request_id, "response", b"1") + NEXT)
    session.expect("the response", runtime.read(), 202, ACCEPTED)
    session.expect("the invoker", invoker.answer(), 200, b"1")
    session.invoke(b"2")
    session.expect("the next event", runtime.read(), 200, b"2")


@case(12)
def an_extension_registered_for_invoke_gets_the_event(session: ApiSession) -> None:
    session.invoke()
    extension, runtime = session.connect(), session.connect()
    identifier = session.register(extension, "mine", '"INVOKE"')
    extension.send(session.event_next(identifier))
    event = runtime.ask(NEXT)
    session.id_of(event)
    deadline = event.headers["lambda-runtime-deadline-ms"]
    arn = event.headers["lambda-runtime-invoked-function-arn"]
    expected = (
        f'{{"eventType":"INVOKE","deadlineMs":{deadline},"requestId":"ID",'
        f'"invokedFunctionArn":"{arn}"}}'
    )
    session.expect("event/next", extension.read(), 200, expected)


@case(12, timeout=3)
def with_an_extension_the_timeout_sends_sigterm(session: ApiSession) -> None:
    invoker, extension, runtime = session.invoke(), session.connect(), session.connect()
    extension.send(session.event_next(session.register(extension, "mine")))
    runtime.ask(NEXT)
    invoker.answer()
    session.invoke(starts=2).answer(SHORT_WAIT)
    session.expect_text("answer", how_the_process_ended(session), "asked")


@case(12, timeout=3)
def without_an_extension_the_timeout_kills_at_once(session: ApiSession) -> None:
    invoker, _, _ = session.invoke_and_take()
    invoker.answer()
    session.invoke(starts=2).answer(SHORT_WAIT)
    session.expect_text("answer", how_the_process_ended(session), "killed")
