"""Random trees: as plain values, as Hypothesis draws them, and as specs of a stage."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
from hypothesis import strategies as st

from okibi.actors import Name
from okibi.supervisors import (
    AutoShutdown,
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
)
from tests.support.child_stage import Stage

PERIOD = 5.0
LETTERS = "abcd"


@attrs.frozen
class Kid:
    """A child: a worker, or a supervisor of a tree of its own; its id is unique in all trees."""

    id: str
    restart: str
    significant: bool = False
    sub: "Tree | None" = None


@attrs.frozen
class Tree:
    """A supervisor's flags and children; `spares` may be added while it runs.

    Its strategy may be `dynamic`: then it starts empty, and its children are spares too.
    """

    id: str
    kids: tuple[Kid, ...]
    strategy: str = "one_for_one"
    intensity: int = 3
    auto: str = "never"
    spares: tuple[Kid, ...] = ()

    def below(self) -> Iterator[Kid]:
        """All that may ever live in it."""
        for kid in (*self.kids, *self.spares):
            yield kid
            if kid.sub is not None:
                yield from kid.sub.below()

    def trees(self) -> "Iterator[Tree]":
        """Itself and all below."""
        yield self
        yield from (tree for kid in self.below() if (tree := kid.sub) is not None)

    def flags(self, stage: Stage) -> SupervisorSpec | DynamicSupervisorSpec:
        """The same, to be run on a stage."""
        if self.strategy == "dynamic":
            return DynamicSupervisorSpec(intensity=self.intensity, period=PERIOD)
        return SupervisorSpec(
            [child(kid, stage) for kid in self.kids],
            Strategy(self.strategy),
            self.intensity,
            PERIOD,
            AutoShutdown(self.auto),
        )


def child(kid: Kid, stage: Stage) -> Child[Any]:
    """Its spec on a stage."""
    fields: dict[str, Any] = {"restart": Restart(kid.restart), "significant": kid.significant}
    if kid.sub is None:
        return stage.child(kid.id, **fields)
    kind = DynamicSupervisor if kid.sub.strategy == "dynamic" else Supervisor
    flags: Any = kid.sub.flags(stage)
    return Child(flags, id=kid.id, name=Name(kid.id, kind), **fields)


@attrs.define
class World:
    """What the workers of a model do, and what they leave in the log.

    Attributes:
        fates: what becomes of the n-th start of a worker, by `a2`: `fail` or `ignore`.
    """

    fates: dict[str, str]
    starts: Counter[str] = attrs.field(factory=Counter[str], init=False)
    log: list[str] = attrs.field(factory=list[str], init=False)

    def fate(self, id: str) -> str:  # noqa: A002
        """Start a worker: empty if it is ready."""
        self.starts[id] += 1
        fate = self.fates.get(f"{id}{self.starts[id]}", "")
        self.log.append(f"{fate or 'start'} {id}")
        return fate

    def term(self, id: str, how: str) -> None:  # noqa: A002
        """End a worker; one that is killed cannot say so."""
        if how != "killed":
            self.log.append(f"term {id} {how}")


@st.composite
def trees(draw: st.DrawFn, id: str = "r", depth: int = 3, plain: bool = False) -> Tree:  # noqa: A002
    """Draw a tree of at most `depth` floors of supervisors.

    A plain one has no spares and shuts nobody down, and some of it is dynamic.
    """
    auto = "never" if plain else draw(st.sampled_from([kind.value for kind in AutoShutdown]))

    def kid(letter: str, may_nest: bool) -> Kid:
        restart = draw(st.sampled_from([kind.value for kind in Restart]))
        may_be = auto != "never" and restart != "permanent"
        significant = may_be and draw(st.sampled_from([True, True, False]))
        nests = may_nest and draw(st.sampled_from([False, False, True]))
        sub = draw(trees(id + letter, depth - 1, plain)) if nests else None
        return Kid(id + letter, restart, significant, sub)

    strategies = [kind.value for kind in Strategy]
    if plain and len(id) > 1:
        strategies.append("dynamic")
    return Tree(
        id,
        tuple(kid(letter, depth > 1) for letter in LETTERS[: draw(st.integers(1, 4))]),
        draw(st.sampled_from(strategies)),
        draw(st.integers(0, 4)),
        auto,
        () if plain else (kid("x", False), kid("y", depth > 1)),
    )
