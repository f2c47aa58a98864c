"""Names: typed addresses that survive restarts.

The table belongs to one run of trio (a RunVar), so two trees in one process never meet. A name
is taken before `init` runs and free again before anybody is told of the end (OTP: Reference
Manual, Processes), so whoever sees a `Down` can register anew at once.
"""

from functools import partial
from typing import Any, Generic, TypeVar, get_origin

import attrs
from trio.lowlevel import RunVar

from .elsewhere import not_here
from .exits import NoProcess
from .process import Process
from .ref import Address, Ref

A = TypeVar("A")

_table: RunVar[dict[str, Process]] = RunVar("names")


class AlreadyRegistered(Exception):
    """Somebody lives under that name already (OTP: `{already_started, Pid}`).

    Attributes:
        ref: who that is.
    """

    def __init__(self, name: "Name[Any]", ref: Ref[Any]) -> None:
        super().__init__(f"the name {name.key!r} is taken by {ref!r}")
        self.ref = ref


@attrs.frozen(repr=False)
class Name(Address[A], Generic[A]):
    """An address that is looked up at every send.

    `call`, `cast` and `send` go to whoever bears it then, and fail at once with NoProcess while
    nobody does.

    Args:
        key: what it is called, unique in one run.
        actor: the class of the actor that bears it.

    Raises:
        TypeError: one of them is something else.
    """

    key: str
    actor: type[A] = attrs.field(eq=False)

    def __attrs_post_init__(self) -> None:
        check_address("Name", self.key, self.actor, "bear")

    def process(self) -> Process:
        process = names().get(self.key)
        if process is None:
            raise NoProcess(self.key)
        return process

    def whereis(self) -> Ref[A] | None:
        """Who bears the name now (OTP: `whereis/1`)."""
        process = names().get(self.key)
        return None if process is None else Ref(process)

    def __repr__(self) -> str:
        return f"Name({self.key!r}, {self.actor.__name__})"


def check_address(kind: str, key: object, actor: object, verb: str) -> None:
    """See to it that a Name, or a Group, has a key and a class.

    Raises:
        TypeError: one of them is something else.
    """
    if not isinstance(key, str) or not key:
        raise TypeError(f"a {kind}'s key is a text that is not empty, not {key!r}")
    if not isinstance(get_origin(actor) or actor, type):
        raise TypeError(f"{kind}({key!r}): actor is the class that will {verb} it, not {actor!r}")


def names() -> dict[str, Process]:
    """The table of this run: who bears which name.

    Raises:
        RuntimeError: this is no thread that runs trio.
    """
    try:
        return _table.get()
    except LookupError:
        table: dict[str, Process] = {}
        _table.set(table)
        return table
    except RuntimeError as no_run:
        raise not_here("a Name is looked up") from no_run


def register(name: Name[A], process: Process) -> None:
    """Give a process a name until it ends.

    Raises:
        AlreadyRegistered: it is taken.
    """
    table = names()
    holder = table.get(name.key)
    if holder is not None:
        raise AlreadyRegistered(name, Ref(holder))
    table[name.key] = process
    process.release_name = partial(table.__delitem__, name.key)
