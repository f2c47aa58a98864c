"""Cases of the Extensions API, as far as it concerns a runtime."""

from tests.conformance.runtime_api.cases import A_MOMENT, ACCEPTED, case, post
from tests.conformance.runtime_api.peer import NOTHING, request
from tests.conformance.runtime_api.stage import EVENT, EXTENSION, NEXT, Stage

UNKNOWN = "ae60e62f-dc7d-40dd-85fa-d3768266d4a0"


def refusal(error_type: str, message: str) -> str:
    return f'{{"errorMessage":"{message}","errorType":"{error_type}"}}\n'


def register_errors(stage: Stage) -> None:
    peer = stage.connect()
    empty = peer.ask(stage.registration(""))
    expected = refusal("Extension.InvalidExtensionName", "Empty extension name")
    stage.expect("no name", empty, 403, expected)
    old = b'{"events":[],"configurationKeys":["a"]}'
    answer = peer.ask(request("POST", f"{EXTENSION}register", old, "Lambda-Extension-Name: x"))
    words = "configurationKeys are deprecated; use environment variables instead"
    stage.expect("old keys", answer, 403, refusal("InvalidRequestFormat", words))
    answer = peer.ask(request("POST", f"{EXTENSION}register", b"no", "Lambda-Extension-Name: x"))
    is_format = b"InvalidRequestFormat" in answer.body and answer.status == 403
    stage.expect_text("no JSON", str(is_format), "True")
    stage.register(peer, "mine")
    words = "Extension with this name already registered"
    expected = refusal("Extension.InvalidExtensionState", words)
    stage.expect("twice", peer.ask(stage.registration("mine")), 403, expected)
    for number in range(9):
        stage.register(peer, str(number))
    expected = refusal("Extension.TooManyExtensions", "Extension limit (10) reached")
    stage.expect("the eleventh", peer.ask(stage.registration("more")), 403, expected)


def identifier_errors(stage: Stage) -> None:
    peer = stage.connect()
    stage.register(peer, "mine")
    words = "Missing Lambda-Extension-Identifier header"
    expected = refusal("Extension.MissingExtensionIdentifier", words)
    for method, path in (("GET", "event/next"), ("POST", "init/error"), ("POST", "exit/error")):
        stage.expect(path, peer.ask(request(method, EXTENSION + path)), 403, expected)
    words = "Invalid Lambda-Extension-Identifier"
    expected = refusal("Extension.InvalidExtensionIdentifier", words)
    stage.expect("no identifier", peer.ask(stage.event_next("x")), 403, expected)
    words = f"Unknown extension {UNKNOWN}"
    expected = refusal("Extension.UnknownExtensionIdentifier", words)
    stage.expect("unknown", peer.ask(stage.event_next(UNKNOWN)), 403, expected)
    stage.expect("GET register", peer.ask(request("GET", f"{EXTENSION}register")), 405)
    not_found = b"404 page not found\n"
    stage.expect("nothing", peer.ask(request("GET", f"{EXTENSION}nothing")), 404, not_found)


def blocks_init(stage: Stage) -> None:
    extension, runtime = stage.connect(), stage.connect()
    identifier = stage.register(extension, "mine")
    runtime.send(NEXT)
    held_up = runtime.read(A_MOMENT)
    stage.expect("the event before event/next", held_up, *NOTHING[:2])
    extension.send(stage.event_next(identifier))
    stage.expect("event/next", extension.read(A_MOMENT), *NOTHING[:2])
    stage.expect("the event after it", runtime.read(), 200, EVENT)
    late = stage.connect().ask(stage.registration("late"))
    words = "Extension registration closed already"
    stage.expect("late", late, 403, refusal("Extension.RegistrationClosed", words))


def asked_to_end(stage: Stage) -> str:
    lines = stage.log.read_text().splitlines()
    return "asked" if "asked to end" in lines else "killed"


@case(12)
def what_no_registration_is(stage: Stage) -> None:
    stage.invoke()
    register_errors(stage)


@case(12, "many")
def what_no_registration_is_with_many(stage: Stage) -> None:
    register_errors(stage)


@case(12)
def what_no_identifier_is(stage: Stage) -> None:
    stage.invoke()
    identifier_errors(stage)


@case(12, "many")
def what_no_identifier_is_with_many(stage: Stage) -> None:
    identifier_errors(stage)


@case(12)
def an_internal_one_hears_of_invokes_only(stage: Stage) -> None:
    stage.invoke()
    peer = stage.connect()
    words = "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"
    expected = refusal("Extension.InvalidEventType", words)
    stage.expect("SHUTDOWN", peer.ask(stage.registration("x", '"SHUTDOWN"')), 403, expected)
    expected = refusal("Extension.InvalidEventType", "X: ErrorInvalidEventType")
    stage.expect("X", peer.ask(stage.registration("x", '"X"')), 403, expected)
    answer = peer.ask(stage.registration("x", '"INVOKE"'))
    stage.expect_text("INVOKE", str(answer.status), "200")


@case(12, "many")
def with_many_it_hears_of_nothing(stage: Stage) -> None:
    peer = stage.connect()
    words = "No events allowed for internal extensions"
    expected = refusal("Extension.InvalidEventType", words)
    for event in ("SHUTDOWN", "INVOKE"):
        answer = peer.ask(stage.registration("x", f'"{event}"'))
        stage.expect(event, answer, 403, expected)


@case(12)
def one_that_never_asks_for_an_event_holds_the_first_one_up(stage: Stage) -> None:
    stage.invoke()
    blocks_init(stage)


@case(12, "many")
def it_does_so_with_many_too(stage: Stage) -> None:
    runtime = stage.connect()
    del runtime
    stage.invoke()
    blocks_init(stage)


@case(12)
def one_that_waits_may_not_ask_again_and_holds_nothing_up(stage: Stage) -> None:
    invoker, extension, runtime = stage.invoke(), stage.connect(), stage.connect()
    identifier = stage.register(extension, "mine")
    extension.send(stage.event_next(identifier))
    request_id = stage.id_of(runtime.ask(NEXT))
    again = stage.connect().ask(stage.event_next(identifier))
    words = (
        "State transition from Ready to Ready failed for extension EXT."
        " Error: State transition is not allowed"
    )
    stage.expect("again", again, 403, refusal("Extension.InvalidExtensionState", words))
    runtime.send(post(request_id, "response", b"1") + NEXT)
    stage.expect("the response", runtime.read(), 202, ACCEPTED)
    stage.expect("the invoker", invoker.answer(), 200, b"1")
    stage.invoke(b"2")
    stage.expect("the next event", runtime.read(), 200, b"2")


@case(12)
def one_that_wants_invoke_is_told(stage: Stage) -> None:
    stage.invoke()
    extension, runtime = stage.connect(), stage.connect()
    identifier = stage.register(extension, "mine", '"INVOKE"')
    extension.send(stage.event_next(identifier))
    event = runtime.ask(NEXT)
    stage.id_of(event)
    deadline = event.headers["lambda-runtime-deadline-ms"]
    arn = event.headers["lambda-runtime-invoked-function-arn"]
    expected = (
        f'{{"eventType":"INVOKE","deadlineMs":{deadline},"requestId":"ID",'
        f'"invokedFunctionArn":"{arn}"}}'
    )
    stage.expect("event/next", extension.read(), 200, expected)


@case(12, timeout=3)
def with_one_the_process_is_asked_to_end(stage: Stage) -> None:
    invoker, extension, runtime = stage.invoke(), stage.connect(), stage.connect()
    extension.send(stage.event_next(stage.register(extension, "mine")))
    runtime.ask(NEXT)
    invoker.answer()
    stage.invoke(starts=2).answer(A_MOMENT)
    stage.expect_text("it", asked_to_end(stage), "asked")


@case(12, timeout=3)
def without_one_it_is_killed_at_once(stage: Stage) -> None:
    invoker, _, _ = stage.running()
    invoker.answer()
    stage.invoke(starts=2).answer(A_MOMENT)
    stage.expect_text("it", asked_to_end(stage), "killed")
