"""What the table of names shows to others: who bears which name, and with which value.

Imported when it is first asked for, as a start does not need it.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar, get_origin

import attrs

from .process import Process
from .ref import Ref

A = TypeVar("A")


@attrs.frozen
class Registered(Generic[A]):
    """One actor that bears a name, as `Name.select` shows it.

    Attributes:
        key: the name's key.
        ref: the incarnation that bears it.
        value: what the actor has put beside its name with `Name.update_value`; None if nothing.
    """

    key: Hashable
    ref: Ref[A]
    value: object


def select(
    names: Mapping[Hashable, Process], kept: Mapping[Hashable, object], actor: type[A]
) -> list[Registered[A]]:
    """Those of a class, in the order they took their names."""
    kind = get_origin(actor) or actor
    return [
        Registered(key, Ref(process), kept.get(key))
        for key, process in names.items()
        if isinstance(process.actor, kind)
    ]
