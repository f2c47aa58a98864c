"""What one can ask a supervisor, and how it refuses (OTP: supervisor, the functions by id).

    asked of a place   UNDEFINED        STARTING, RUNNING, STOPPING   RESTARTING       no such id
    start_child        AlreadyPresent   AlreadyStarted                AlreadyPresent   is done
    restart_child      is done          Running                       Restarting       NotFound
    delete_child       is done          Running                       Restarting       NotFound
    terminate_child    is done          is done                       is done          NotFound

`terminate_child` while RESTARTING calls the next attempt off. A start that somebody asked for and
that fails is no restart: it counts against nothing and is not tried again, the asker is told.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from ..actors import AlreadyRegistered, ExitReason, Ref, Refusal, StartError
from ..actors.exits import is_a
from ..actors.safe_repr import misplaced
from .any_supervisor_spec import AnySupervisorSpec
from .child_place import Place
from .child_state import ChildState
from .spec import Child


class AlreadyStarted(Refusal):
    """A child of that id lives already, or a stranger bears its name (OTP: `already_started`).

    Attributes:
        ref: who that is.
    """

    def __init__(self, ref: Ref[Any]) -> None:
        super().__init__(f"{ref.path} has been started already")
        self.ref = ref


class AlreadyPresent(Refusal):
    """There is a spec of that id, of a child that does not run (OTP: `already_present`)."""


class NotFound(Refusal):
    """There is no such child here (OTP: `not_found`)."""


class Running(Refusal):
    """The child lives; terminate it first (OTP: `running`)."""


class Restarting(Refusal):
    """The child's next start is under way; terminate it first (OTP: `restarting`)."""


class MaxChildren(Refusal):
    """As many children live here as may (Elixir: `max_children`)."""


class ChildFailed(Refusal):
    """The child did not start; the error behind it is this one's `__cause__`.

    Attributes:
        reason: why it ended.
    """

    def __init__(self, failure: StartError) -> None:
        super().__init__(str(failure))
        self.reason: ExitReason = failure.reason
        self.__cause__ = failure.reason.error


class ChildInfo(NamedTuple):
    """One child, as it stands.

    Attributes:
        id: what it is called here.
        ref: who lives there now, None if nobody does.
        state: undefined, starting, running, stopping or restarting.
        kind: a supervisor is a child that was given as flags; every other is a worker.
    """

    id: str
    ref: Ref[Any] | None
    state: ChildState
    kind: Literal["supervisor", "worker"]


class Counts(NamedTuple):
    """How many children there are.

    Attributes:
        specs: specs, whether anybody lives there or not.
        active: those where somebody lives.
        supervisors: specs of supervisors.
        workers: all other specs.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


# Answers of the table above, as (refusal, sentence); what is not here is done.
_BUSY = {
    ChildState.STARTING: (Running, "lives"),
    ChildState.RUNNING: (Running, "lives"),
    ChildState.STOPPING: (Running, "has not ended yet"),
    ChildState.RESTARTING: (Restarting, "is about to be started again"),
}
REFUSALS: Mapping[str, Mapping[ChildState, tuple[type[Refusal], str]]] = MappingProxyType(
    {"restart_child": _BUSY, "delete_child": _BUSY, "terminate_child": {}}
)


def describe_child(child: object) -> str:
    """How an error names what a request calls a child: an id as it is, a spec by its id."""
    if isinstance(child, Child):
        return f"Child {child.id!r}"
    return repr(child) if type(child) is str else misplaced(child)


def find_place(places: Mapping[str, Place], child: str, request: str, where: str) -> Place:
    """The place that a request is about, if the request may be granted.

    Args:
        places: a supervisor's, by id.
        child: the id asked for.
        request: the message's name.
        where: the supervisor's path.

    Raises:
        NotFound, Running, Restarting: as the table says.
    """
    # What is no id may have no hash either.
    place = places.get(child) if isinstance(cast("object", child), str) else None
    if place is None:
        raise NotFound(f"{where} has no child {describe_child(child)}")
    refusal = REFUSALS.get(request, {}).get(place.state)
    if refusal is not None:
        error, sentence = refusal
        raise error(f"{where}/{child} {sentence}: {request} needs it terminated first")
    return place


def refuse_present(place: Place | None, where: str) -> None:
    """Refuse to start a child whose id is taken.

    Raises:
        AlreadyStarted, AlreadyPresent: as the table says.
    """
    if place is None:
        return
    if place.process is not None:
        raise AlreadyStarted(Ref(place.process))
    raise AlreadyPresent(
        f"{where} has a spec of {place.id!r} that does not run: restart_child starts it, "
        f"delete_child makes room for another"
    )


def build_refusal(failure: StartError) -> Refusal:
    """How a start that failed is told to whoever asked for it."""
    error = failure.reason.error
    return AlreadyStarted(error.ref) if is_a(error, AlreadyRegistered) else ChildFailed(failure)


def build_info(place: Place) -> ChildInfo:
    """A place, as its supervisor tells of it."""
    return ChildInfo(place.id, place.ref(), place.state, kind_of(place.spec))


def kind_of(spec: Child[Any]) -> Literal["supervisor", "worker"]:
    """Which of the two a child is (OTP: `type`)."""
    return "supervisor" if isinstance(spec.start, AnySupervisorSpec) else "worker"


def count_places(places: Iterable[Place]) -> Counts:
    """How many there are."""
    specs = active = supervisors = 0
    for place in places:
        specs += 1
        active += place.process is not None
        supervisors += kind_of(place.spec) == "supervisor"
    return Counts(specs, active, supervisors, specs - supervisors)
