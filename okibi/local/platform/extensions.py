# An extension as the platform sees it (Extensions API; the table is that of `rapid`, AWS's
# emulator, in core/internalagent_states.go). The calls of the extension change its state, and so
# does RELEASE: the platform sends an event.
#
#    --register--> Registered --event/next--> Ready --release--> Running
#                      |                        ^                   |
#                 init/error                    +----event/next-----+
#                      v
#                  InitError          exit/error: from every state but InitError to ExitError
#
# Two rules matter to a runtime:
#
# * An extension that registers and never calls event/next blocks the init phase until it times out.
#   The platform hands out no event before every extension is Ready.
# * With an extension, the process gets SIGTERM before SIGKILL. For this reason a runtime registers
#   an extension without events.
#
# Error messages name the states as rapid does (see `states.py`).
"""The extensions of a sandbox, without I/O."""

import uuid
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

import attrs
import msgspec

from ..settings import ACCOUNT_ID
from .hooks import ignore
from .invocation import Invocation
from .states import ApiError

# Extensions of one sandbox at most.
LIMIT = 10


class ExtensionState(Enum):
    """The state of an extension. The value is the name in an error message."""

    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"


class ExtensionTrigger(Enum):
    """A trigger of a new state. The value is the name of that state in an error message."""

    NEXT = "Ready"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    RELEASE = "Running"


TRANSITIONS: Mapping[ExtensionState, Mapping[ExtensionTrigger, ExtensionState]] = MappingProxyType(
    {
        ExtensionState.REGISTERED: {
            ExtensionTrigger.NEXT: ExtensionState.READY,
            ExtensionTrigger.INIT_ERROR: ExtensionState.INIT_ERROR,
            ExtensionTrigger.EXIT_ERROR: ExtensionState.EXIT_ERROR,
        },
        ExtensionState.READY: {
            ExtensionTrigger.RELEASE: ExtensionState.RUNNING,
            ExtensionTrigger.EXIT_ERROR: ExtensionState.EXIT_ERROR,
        },
        ExtensionState.RUNNING: {
            ExtensionTrigger.NEXT: ExtensionState.READY,
            ExtensionTrigger.EXIT_ERROR: ExtensionState.EXIT_ERROR,
        },
        ExtensionState.INIT_ERROR: {ExtensionTrigger.INIT_ERROR: ExtensionState.INIT_ERROR},
        ExtensionState.EXIT_ERROR: {ExtensionTrigger.EXIT_ERROR: ExtensionState.EXIT_ERROR},
    }
)


class _Registration(msgspec.Struct, rename={"configuration_keys": "configurationKeys"}):
    events: list[str] = []
    configuration_keys: list[str] = []


class _Function(msgspec.Struct, rename="camel", omit_defaults=True):
    account_id: str = ""
    function_name: str = ""
    function_version: str = "$LATEST"
    handler: str | None = None


class _InvokeEvent(msgspec.Struct, rename="camel"):
    event_type: str
    deadline_ms: int
    request_id: str
    invoked_function_arn: str


@attrs.define(eq=False)
class RegisteredExtension:
    """An extension that has registered.

    Args:
        name: the name that the extension registered with.
        events: the events that the extension asked for: INVOKE, or none.
        identifier: identifies the extension in later calls.
    """

    name: str
    events: frozenset[str]
    identifier: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    state: ExtensionState = ExtensionState.REGISTERED
    # Answers the pending event/next.
    deliver: Callable[[bytes], None] | None = None
    # A restore has cut the connection of the pending event/next, which may be sent again.
    request_lost: bool = False


@attrs.define(eq=False)
class Extensions:
    """All extensions of one sandbox. They run in the runtime's process ("internal" extensions).

    Args:
        function_name, handler, function_arn: the function, as sent to the extensions.
        takes_events: whether extensions may ask for INVOKE. Multi-concurrency does not allow it.
        on_ready: called whenever an extension starts to wait for an event.
        on_failure: called with the error type that an extension reports.
    """

    function_name: str = "function"
    handler: str = ""
    function_arn: str = ""
    takes_events: bool = True
    on_ready: Callable[[], None] = ignore
    on_failure: Callable[[str], None] = ignore

    _all: dict[str, RegisteredExtension] = attrs.field(
        factory=dict[str, RegisteredExtension], init=False
    )
    _closed: bool = attrs.field(default=False, init=False)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def ready(self) -> bool:
        """Whether all extensions wait for an event. Until then the platform hands out none."""
        return not self._all or all(
            extension.state is ExtensionState.READY for extension in self._all.values()
        )

    # -- the platform's side

    def close_registration(self) -> None:
        """Refuse registrations from now on: the runtime has called /next for the first time."""
        self._closed = True

    def send_invoke_events(self, invocation: Invocation) -> None:
        """Send INVOKE to the extensions that asked for it."""
        for extension in self._all.values():
            if "INVOKE" in extension.events and extension.deliver is not None:
                event = _InvokeEvent(
                    "INVOKE",
                    invocation.deadline_ms,
                    invocation.request_id,
                    invocation.function_arn or self.function_arn,
                )
                deliver, extension.deliver = extension.deliver, None
                extension.state = TRANSITIONS[extension.state][ExtensionTrigger.RELEASE]
                deliver(msgspec.json.encode(event))

    def lose_requests(self) -> None:
        """Forget the requests that a restore cuts. The extensions still count as waiting."""
        for extension in self._all.values():
            extension.deliver, extension.request_lost = None, True

    def clear(self) -> None:
        """Forget all extensions: the sandbox has ended."""
        self._all.clear()
        self._closed = False

    # -- the extensions' side

    def register(self, name: str, features: str, body: bytes) -> ApiError | tuple[str, bytes]:
        """POST /extension/register. Return the identifier and the body, or an error.

        Args:
            name: `Lambda-Extension-Name`.
            features: `Lambda-Extension-Accept-Feature`.
            body: the body of the request.
        """
        if not name:
            return _refused("Extension.InvalidExtensionName", "Empty extension name")
        try:
            registration = msgspec.json.decode(body, type=_Registration)
        except msgspec.DecodeError as error:
            return _refused("InvalidRequestFormat", str(error))
        if registration.configuration_keys:
            message = "configurationKeys are deprecated; use environment variables instead"
            return _refused("InvalidRequestFormat", message)
        refusal = self._check_events(registration.events) or self._check_registration(name)
        if refusal is not None:
            return refusal
        extension = RegisteredExtension(name, frozenset(registration.events))
        self._all[extension.identifier] = extension
        asked = [feature.strip() for feature in features.split(",")]
        function = _Function(
            account_id=ACCOUNT_ID if "accountId" in asked else "",
            function_name=self.function_name,
            handler=self.handler,
        )
        # omit_defaults would drop the version, but rapid sends it.
        text = msgspec.to_builtins(function) | {"functionVersion": function.function_version}
        return extension.identifier, msgspec.json.encode(text, order="sorted")

    def next(self, identifier: str, deliver: Callable[[bytes], None]) -> ApiError | None:
        """GET /extension/event/next. Return an error, or call `deliver` with the next event."""
        extension = self._advance(identifier, ExtensionTrigger.NEXT)
        if isinstance(extension, ApiError):
            return extension
        extension.deliver = deliver
        self.on_ready()
        return None

    def fail(self, identifier: str, trigger: ExtensionTrigger, error_type: str) -> ApiError | None:
        """POST /extension/init/error or /extension/exit/error.

        Args:
            identifier: `Lambda-Extension-Identifier`.
            trigger: INIT_ERROR or EXIT_ERROR.
            error_type: `Lambda-Extension-Function-Error-Type`.
        """
        if (refusal := _bad_identifier(identifier)) is not None:
            return refusal
        if not error_type:
            message = "Lambda-Extension-Function-Error-Type not found"
            return _refused("Extension.MissingHeader", message)
        extension = self._advance(identifier, trigger)
        if isinstance(extension, ApiError):
            return extension
        self.on_failure(f"Extension.{trigger.value}")
        return None

    # -- internals

    def _check_events(self, events: list[str]) -> ApiError | None:
        if events and not self.takes_events:
            message = "No events allowed for internal extensions"
            return _refused("Extension.InvalidEventType", message)
        for event in events:
            if event == "SHUTDOWN":
                message = "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"
                return _refused("Extension.InvalidEventType", message)
            if event != "INVOKE":
                return _refused("Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
        return None

    def _check_registration(self, name: str) -> ApiError | None:
        if self._closed:
            message = "Extension registration closed already"
            return _refused("Extension.RegistrationClosed", message)
        if len(self._all) >= LIMIT:
            return _refused(
                "Extension.TooManyExtensions",
                f"Extension limit ({LIMIT}) reached",
            )
        if any(extension.name == name for extension in self._all.values()):
            message = "Extension with this name already registered"
            return _refused("Extension.InvalidExtensionState", message)
        return None

    def _advance(
        self, identifier: str, trigger: ExtensionTrigger
    ) -> ApiError | RegisteredExtension:
        if (refusal := _bad_identifier(identifier)) is not None:
            return refusal
        extension = self._all.get(identifier)
        if extension is None:
            message = f"Unknown extension {identifier}"
            return _refused("Extension.UnknownExtensionIdentifier", message)
        state = TRANSITIONS[extension.state].get(trigger)
        if extension.request_lost and trigger is ExtensionTrigger.NEXT:
            extension.request_lost, state = False, ExtensionState.READY
        if state is None:
            return _refused(
                "Extension.InvalidExtensionState",
                f"State transition from {extension.state.value} to {trigger.value} failed for"
                f" extension {identifier}. Error: State transition is not allowed",
            )
        extension.state = state
        return extension


def _bad_identifier(identifier: str) -> ApiError | None:
    if not identifier:
        message = "Missing Lambda-Extension-Identifier header"
        return _refused("Extension.MissingExtensionIdentifier", message)
    try:
        uuid.UUID(identifier)
    except ValueError:
        message = "Invalid Lambda-Extension-Identifier"
        return _refused("Extension.InvalidExtensionIdentifier", message)
    return None


def _refused(error_type: str, message: str) -> ApiError:
    return ApiError(403, error_type, message)
