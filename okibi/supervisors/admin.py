"""The requests that a supervisor handles while it runs (OTP: supervisor, functions with an id).

    state of the place    start_child        restart_child    delete_child    terminate_child
    UNDEFINED             AlreadyPresent     starts it        drops it        does nothing
    STARTING              AlreadyStarted     Running          Running         stops it
    RUNNING               AlreadyStarted     Running          Running         stops it
    STOPPING              AlreadyStarted     Running          Running         stops it
    RESTARTING            AlreadyPresent     Restarting       Restarting      calls the attempt off
    no place              starts it          NotFound         NotFound        NotFound

A requested start that fails is no restart. It does not count against the intensity, the supervisor
does not try again, and the caller gets ChildFailed.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from ..actors import AlreadyRegistered, ExitReason, Ref, Refusal, StartError
from ..actors.exits import is_a
from ..actors.safe_repr import describe_value
from .any_supervisor_spec import AnySupervisorSpec
from .child_place import Place
from .child_state import ChildState
from .spec import Child


class AlreadyStarted(Refusal):
    """A child with the id runs, or another actor has the name (OTP: `already_started`).

    Attributes:
        ref: the running actor.
    """

    def __init__(self, ref: Ref[Any]) -> None:
        super().__init__(f"{ref.path} has already been started")
        self.ref = ref


class AlreadyPresent(Refusal):
    """A child spec with the id exists, and the child does not run (OTP: `already_present`)."""


class NotFound(Refusal):
    """The supervisor has no such child (OTP: `not_found`)."""


class Running(Refusal):
    """The child runs: call `terminate_child` first (OTP: `running`)."""


class Restarting(Refusal):
    """The child waits for a restart: call `terminate_child` first (OTP: `restarting`)."""


class MaxChildren(Refusal):
    """The supervisor has as many children as `max_children` allows (Elixir: `max_children`)."""


class ChildFailed(Refusal):
    """The child did not start. The child's error is the `__cause__`.

    Attributes:
        reason: the exit reason of the child.
    """

    def __init__(self, failure: StartError) -> None:
        super().__init__(str(failure))
        self.reason: ExitReason = failure.reason
        self.__cause__ = failure.reason.error


class ChildInfo(NamedTuple):
    """One child of a supervisor, as `which_children` returns it.

    Attributes:
        id: the id of the child.
        ref: the running child; None if the child does not run.
        state: undefined, starting, running, stopping or restarting.
        kind: "supervisor" if the spec's `start` is a supervisor spec, else "worker".
    """

    id: str
    ref: Ref[Any] | None
    state: ChildState
    kind: Literal["supervisor", "worker"]


class Counts(NamedTuple):
    """The numbers of a supervisor's children, as `count_children` returns them.

    Attributes:
        specs: all children, running or not.
        active: children that run.
        supervisors: children that are supervisors, running or not.
        workers: all other children, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


# The refusals of the table above, each with the words after the child's path.
_BUSY = {
    ChildState.STARTING: (Running, "is running"),
    ChildState.RUNNING: (Running, "is running"),
    ChildState.STOPPING: (Running, "has not ended yet"),
    ChildState.RESTARTING: (Restarting, "is restarting"),
}
REFUSALS: Mapping[str, Mapping[ChildState, tuple[type[Refusal], str]]] = MappingProxyType(
    {"restart_child": _BUSY, "delete_child": _BUSY, "terminate_child": {}}
)


def describe_child(child: object) -> str:
    """Return the words for the `child` argument of a request: an id, or the id of a spec."""
    if isinstance(child, Child):
        return f"Child {child.id!r}"
    return repr(child) if type(child) is str else describe_value(child)


def find_place(places: Mapping[str, Place], child: str, request: str, path: str) -> Place:
    """Return the place of a child, if the state of the place allows the request.

    Args:
        places: the supervisor's places by id.
        child: the id of the child.
        request: the name of the request, for instance "restart_child".
        path: the path of the supervisor.

    Raises:
        NotFound, Running, Restarting: as in the table above.
    """
    # A value that is no text may not be hashable.
    place = places.get(child) if isinstance(cast("object", child), str) else None
    if place is None:
        raise NotFound(f"{path} has no child {describe_child(child)}")
    refusal = REFUSALS.get(request, {}).get(place.state)
    if refusal is not None:
        error, words = refusal
        raise error(f"{path}/{child} {words}: call terminate_child before {request}")
    return place


def refuse_present(place: Place | None, path: str) -> None:
    """Refuse to start a child whose id another child has.

    Args:
        place: the place of the other child; None if the id is free.
        path: the path of the supervisor.

    Raises:
        AlreadyStarted, AlreadyPresent: as in the table above.
    """
    if place is None:
        return
    if place.process is not None:
        raise AlreadyStarted(Ref(place.process))
    raise AlreadyPresent(
        f"{path} has a child {place.id!r} that is not running: call restart_child to start it, or "
        f"delete_child before you start another"
    )


def build_refusal(failure: StartError) -> Refusal:
    """Build the refusal for the caller whose start request has failed."""
    error = failure.reason.error
    return AlreadyStarted(error.ref) if is_a(error, AlreadyRegistered) else ChildFailed(failure)


def build_info(place: Place) -> ChildInfo:
    """Build the ChildInfo of a place."""
    return ChildInfo(place.id, place.ref(), place.state, kind_of(place.spec))


def kind_of(spec: Child[Any]) -> Literal["supervisor", "worker"]:
    """Return the kind of a child (OTP: `type` of a child spec)."""
    return "supervisor" if isinstance(spec.start, AnySupervisorSpec) else "worker"


def count_places(places: Iterable[Place]) -> Counts:
    """Count the places."""
    specs = active = supervisors = 0
    for place in places:
        specs += 1
        active += place.process is not None
        supervisors += kind_of(place.spec) == "supervisor"
    return Counts(specs, active, supervisors, specs - supervisors)
