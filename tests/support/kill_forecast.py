"""Who may die of a kill: told from the tree alone, without running any of it.

A kill is felt by the supervisor of the one killed, which restarts what its strategy says, and by
those above as far as intensities are used up. What is not in the forecast may not change.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from tests.support.trees import Kid, Tree


@attrs.frozen
class Forecast:
    """What kills may do, and no more than that; of one kill in a quiet tree, exactly what it does.

    Attributes:
        changes: who may be another incarnation afterwards, or gone.
        hits: restarts that a supervisor may have to count.
        gives_up: supervisors that may have had too many of them.
    """

    changes: frozenset[str]
    hits: Mapping[str, int]
    gives_up: frozenset[str]


def forecast(tree: Tree, kills: Sequence[str], spent: Mapping[str, int]) -> Forecast:
    """What the kills may do to the tree.

    Args:
        tree: as it was started.
        kills: who is killed, each of them once.
        spent: restarts that each supervisor's window holds already.
    """
    changes: frozenset[str] = frozenset()
    while True:
        # A supervisor that may be starting anew passes on what strikes its children in their init.
        hits, gives_up = Counter[str](), set[str]()
        reached = _below(tree, kills, spent, changes, hits, gives_up)
        if reached == changes:
            return Forecast(changes, hits, frozenset(gives_up))
        changes = frozenset(reached | changes)


def _below(
    tree: Tree,
    kills: Sequence[str],
    spent: Mapping[str, int],
    changes: frozenset[str],
    hits: Counter[str],
    gives_up: set[str],
) -> set[str]:
    """Who may change below this supervisor; how often it is hit is added up on the way."""
    reached = {everyone for kid in tree.kids if kid.id in kills for everyone in household(kid)}
    for at, kid in enumerate(tree.kids):
        struck = kills.count(kid.id)
        if kid.sub is not None:
            reached |= _below(kid.sub, kills, spent, changes, hits, gives_up)
            gave_up = (spent.get(kid.id, 0) + hits[kid.id]) // (kid.sub.intensity + 1)
            # Each kill below is felt here once at most: as part of what makes the kid give up, or
            # as a start of its that fails.
            in_init = sum(kills.count(other.id) for other in kid.sub.below())
            struck += in_init if kid.id in changes else gave_up
        if struck:
            reached |= set(household(kid))
        if struck and kid.restart != "temporary":
            hits[tree.id] += struck
            for sibling in _reach(tree, at):
                reached |= set(household(sibling))
    if spent.get(tree.id, 0) + hits[tree.id] > tree.intensity:
        gives_up.add(tree.id)
        reached |= {kid.id for kid in tree.below()}
    return reached


def household(kid: Kid) -> list[str]:
    """A child and all who live under it."""
    return [kid.id, *(other.id for other in (kid.sub.below() if kid.sub else ()))]


def _reach(tree: Tree, at: int) -> Sequence[Kid]:
    if tree.strategy == "one_for_all":
        return tree.kids
    return tree.kids[at:] if tree.strategy == "rest_for_one" else tree.kids[at : at + 1]


def lasting(tree: Tree) -> set[str]:
    """Who is there whatever was killed, as long as the top lives: nobody forgets them."""
    ids: set[str] = set()
    for kid in tree.kids if tree.strategy != "dynamic" else ():
        if kid.restart != "temporary":
            ids.add(kid.id)
            ids |= lasting(kid.sub) if kid.sub is not None else set()
    return ids
