"""Forecast which actors a kill may change, from the tree alone.

A kill affects the supervisor of the victim, which restarts children by its strategy. It affects the
supervisors above if intensities are exceeded. Actors outside the forecast must not change.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from tests.support.trees import Kid, Tree


@attrs.frozen
class Forecast:
    """The largest possible effect of some kills. For one kill in a quiet tree: the exact effect.

    Attributes:
        changes: actors that may be another incarnation afterwards, or gone.
        hits: the restarts that a supervisor may count.
        gives_up: supervisors that may give up.
    """

    changes: frozenset[str]
    hits: Mapping[str, int]
    gives_up: frozenset[str]


def forecast(tree: Tree, kills: Sequence[str], spent: Mapping[str, int]) -> Forecast:
    """Forecast the effect of kills.

    Args:
        tree: the tree at its start.
        kills: the ids of the victims, one for each kill.
        spent: the restarts that each supervisor's window holds already.
    """
    changes: frozenset[str] = frozenset()
    while True:
        # In a supervisor that restarts, a kill may hit the `init` of a child and fail the start.
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
    """Return the actors that may change below this supervisor, and add up its hits."""
    reached = {each for kid in tree.kids if kid.id in kills for each in with_children(kid)}
    for at, kid in enumerate(tree.kids):
        hit_count = kills.count(kid.id)
        if kid.sub is not None:
            reached |= _below(kid.sub, kills, spent, changes, hits, gives_up)
            gave_up = (spent.get(kid.id, 0) + hits[kid.id]) // (kid.sub.intensity + 1)
            # Each kill below counts here at most once: the kid gives up, or its start fails.
            in_init = sum(kills.count(other.id) for other in kid.sub.below())
            hit_count += in_init if kid.id in changes else gave_up
        if hit_count:
            reached |= set(with_children(kid))
        if hit_count and kid.restart != "temporary":
            hits[tree.id] += hit_count
            for sibling in _reach(tree, at):
                reached |= set(with_children(sibling))
    if spent.get(tree.id, 0) + hits[tree.id] > tree.intensity:
        gives_up.add(tree.id)
        reached |= {kid.id for kid in tree.below()}
    return reached


def with_children(kid: Kid) -> list[str]:
    """Return the ids of a child and of all children below."""
    return [kid.id, *(other.id for other in (kid.sub.below() if kid.sub else ()))]


def _reach(tree: Tree, at: int) -> Sequence[Kid]:
    if tree.strategy == "one_for_all":
        return tree.kids
    return tree.kids[at:] if tree.strategy == "rest_for_one" else tree.kids[at : at + 1]


def always_present(tree: Tree) -> set[str]:
    """Return the ids that run after any kills, if the top still runs: no spec is dropped."""
    ids: set[str] = set()
    for kid in tree.kids if tree.strategy != "dynamic" else ():
        if kid.restart != "temporary":
            ids.add(kid.id)
            ids |= always_present(kid.sub) if kid.sub is not None else set()
    return ids
