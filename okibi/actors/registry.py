"""Registered: an entry of the table of names, as `Name.select` returns it.

Imported at first use: a start does not need it.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar, get_origin

import attrs

from .process import Process
from .ref import Ref

A = TypeVar("A")


@attrs.frozen
class Registered(Generic[A]):
    """An actor and its name, as `Name.select` returns them.

    Attributes:
        key: the key of the name.
        ref: the incarnation that is registered.
        value: the value that the actor has set with `Name.update_value`; None if it set none.
    """

    key: Hashable
    ref: Ref[A]
    value: object


def select(
    names: Mapping[Hashable, Process], values: Mapping[Hashable, object], actor: type[A]
) -> list[Registered[A]]:
    """Return the registered actors of a class, in the order of registration."""
    kind = get_origin(actor) or actor
    return [
        Registered(key, Ref(process), values.get(key))
        for key, process in names.items()
        if isinstance(process.actor, kind)
    ]
