"""Find an actor of a running tree by its name, its address or its path."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from ..actors import Address, Name, Ref
from ..actors.process import Process
from ..supervisors.child_place import Place
from ..supervisors.parent import Parent

# A Name, a Ref, or a path: `/function/children/visits`, or its last parts: `visits`.
ActorInTree = Address[Any] | str


class TreePlace(NamedTuple):
    """A place of a child in the tree, with the child's path."""

    path: str
    place: Place

    @property
    def restarts(self) -> int:
        """The number of times the child was restarted."""
        return max(self.place.starts - 1, 0)


def list_places(root: Process) -> Iterator[TreePlace]:
    """Yield the places below a process, each before the places below it."""
    if not isinstance(root.actor, Parent):
        return
    for place in root.actor.places:
        yield TreePlace(f"{root.path}/{place.id}", place)
        if place.process is not None:
            yield from list_places(place.process)


def find_place(root: Process, actor: ActorInTree) -> TreePlace:
    """Find the place of an actor.

    Raises:
        LookupError: the tree has no such actor, or several actors have a path that ends so; or the
            function has ended.
        TypeError: `actor` is none of these.
    """
    if root.life.reason is not None:
        raise LookupError(f"no actor {actor!r}: the function has ended ({root.life.reason})")
    places = list(list_places(root))
    if isinstance(actor, str):
        ending = actor if actor.startswith("/") else f"/{actor}"
        found = [each for each in places if each.path.endswith(ending)]
    elif isinstance(actor, Name):
        found = [each for each in places if each.place.spec.name == actor]
    elif isinstance(cast("object", actor), Address):
        path = actor.process().path
        found = [each for each in places if each.path == path]
    else:
        raise TypeError(f"an actor is a Name, a Ref or a path, got {actor!r}")
    exact = [each for each in found if each.path == actor]
    if len(exact or found) == 1:
        return (exact or found)[0]
    how_many = f"{len(found)} children" if found else "no child"
    listed = "".join(f"\n  {each.path}" for each in found or places)
    raise LookupError(f"the tree has {how_many} {actor!r}; it has:{listed}")


def find_actor(root: Process, actor: ActorInTree) -> Process:
    """Find an actor that runs. A Name or a Ref need not be a supervisor's child.

    Raises:
        LookupError: the tree has no such actor, or it does not run now.
    """
    if isinstance(actor, Ref):
        return actor.process()
    if isinstance(actor, Name) and (ref := actor.whereis()) is not None:
        return ref.process()
    path, place = find_place(root, actor)
    if place.process is None:
        raise LookupError(f"{path} does not run now: wait for it with wait_restarted")
    return place.process
