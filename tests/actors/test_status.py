"""The texts of an actor's status: redacted and short, even if user code fails."""

from typing import Any

import attrs
import pytest

from okibi.actors import NORMAL, Event, ExitReason, Server, Status, crashed, shutdown
from okibi.actors.request import Request
from okibi.actors.status import EventKind, fields_of, redact_reason, show


@attrs.define(eq=False)
class Vault(Server):
    owner: str = "bob"
    key: str = attrs.field(default="sesame", repr=False)
    _inner: int = 1
    late: int = attrs.field(init=False)


REQUEST = Request("open", ("sesame",), {"tries": 3}, None, True)


def test_the_state_has_the_public_fields_that_are_set() -> None:
    vault = Vault()

    assert fields_of(vault) == {"owner": "bob", "key": "sesame"}
    vault.late = 3
    assert fields_of(vault) == {"owner": "bob", "key": "sesame", "late": 3}


def test_the_state_of_a_class_with_slots_has_their_values() -> None:
    class Box(Server):
        __slots__ = ("_inner", "kept", "late")

        def __init__(self) -> None:
            self.kept = 1
            self._inner = 2

    class Larger(Box):
        __slots__ = "more"

        def __init__(self) -> None:
            super().__init__()
            self.more = 3

    assert fields_of(Box()) == {"kept": 1}
    assert fields_of(Larger()) == {"kept": 1, "more": 3}


def test_a_field_with_repr_false_is_not_shown() -> None:
    assert show(Vault())["state"] == {"owner": "str[3]"}


def test_shown_texts_are_cut() -> None:
    shown = show(Vault("x" * 1000), b"y" * 1000, reply=list(range(1000)))

    assert len(shown["state"]["owner"]) <= 100
    assert len(shown["message"]) <= 100
    assert shown["reply"] == "list[1000]"


def test_format_status_gets_values_not_texts() -> None:
    given: list[Status] = []

    class Watched(Vault):
        def format_status(self, status: Status) -> Status:
            given.append(status)
            return status

    event = Event(0.0, "/vault", "in", "open(...)")
    show(Watched(), REQUEST, 7, NORMAL, (event,))

    assert given == [Status({"owner": "bob"}, REQUEST, 7, NORMAL, (event,))]


@pytest.mark.parametrize(
    ("message", "reason", "texts"),
    [
        (REQUEST, crashed(KeyError("sesame")), ("open(...)", "crashed (KeyError)")),
        ("sesame", shutdown("sesame"), ("str[6]", "shutdown")),
        (7, KeyError("sesame"), ("int", "KeyError")),
        (None, None, ("", "")),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_failing_format_status_shows_only_types(
    message: object, reason: Any, texts: tuple[str, str], error: type[BaseException]
) -> None:
    class Broken(Vault):
        def format_status(self, status: Status) -> Status:
            raise error("sesame")

    shown = show(Broken(), message, "sesame", reason)

    assert (shown["message"], shown["reason"]) == texts
    assert "sesame" not in str(shown)
    assert not shown["whole"]


def test_a_changed_reason_is_not_whole() -> None:
    class Discreet(Vault):
        def format_status(self, status: Status) -> Status:
            return attrs.evolve(status, reason=NORMAL)

    assert show(Vault(), reason=crashed(ValueError()))["whole"]
    assert not show(Discreet(), reason=crashed(ValueError()))["whole"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("in", "/a got ask() from /b"),
        ("reply", "/a replied {42} to ask() from /b"),
        ("deferred", "/a will reply later to ask() from /b"),
        ("refused", "/a refused ask() from /b: {42}"),
        ("exit", "/a left at ask() from /b: {42}"),
        ("crash", "/a crashed at ask() from /b: {42}"),
    ],
)
def test_an_event_is_one_line_of_text(kind: EventKind, text: str) -> None:
    assert str(Event(1.5, "/a", kind, "ask()", "/b", "{42}")) == text


class Refuses(Server):
    """Its `format_status` replaces the reason by `instead`."""

    instead: Any = None

    def format_status(self, status: Status) -> Status:
        if self.instead is SystemExit:
            raise SystemExit("sesame")
        return attrs.evolve(status, reason=self.instead)


SESAME = KeyError("sesame")


@pytest.mark.parametrize(
    ("reason", "instead", "text"),
    [
        (crashed(SESAME), None, "crashed (Redacted)"),
        (crashed(SESAME), "it failed", "crashed (Redacted: it failed)"),
        (crashed(SESAME), 7, "crashed (Redacted)"),
        (crashed(SESAME), NORMAL, "crashed (Redacted)"),
        (crashed(SESAME), shutdown("tired"), "crashed (Redacted: tired)"),
        (crashed(SESAME), crashed(ValueError("no")), "crashed (ValueError: no)"),
        (crashed(SESAME), ExitReason("killed", SESAME), "crashed (Redacted: 'sesame')"),
        (crashed(SESAME), SystemExit, "crashed (Redacted: KeyError)"),
        (ExitReason("crashed", "sesame"), None, "crashed (Redacted)"),
        (ExitReason("crashed", "sesame"), "it failed", "crashed (Redacted: it failed)"),
        (shutdown("sesame"), None, "shutdown"),
        (shutdown("sesame"), "moved", "shutdown ('moved')"),
        (shutdown("sesame"), shutdown("moved"), "shutdown ('moved')"),
        (shutdown("sesame"), SystemExit, "shutdown ('str[6]')"),
    ],
)
def test_others_get_the_reason_that_format_status_returns(
    reason: ExitReason, instead: object, text: str
) -> None:
    actor = Refuses()
    actor.instead = instead

    told = redact_reason(actor, None, reason)

    assert (told.kind, str(told)) == (reason.kind, text)


def test_an_unchanged_reason_is_passed_on_as_it_is() -> None:
    reason = crashed(SESAME)
    actor = Refuses()
    actor.instead = reason

    assert redact_reason(actor, None, reason) is reason


def test_an_actor_that_overrides_format_status_is_detected() -> None:
    class Given(Server):
        def __init__(self) -> None:
            self.format_status = lambda status: status  # type: ignore[method-assign]

    assert [Server()._redacts(), Refuses()._redacts(), Given()._redacts()] == [False, True, True]
