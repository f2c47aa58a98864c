"""Random trees: plain values, a Hypothesis strategy, and supervisor specs."""

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
    """A child: a worker, or a supervisor with a tree. The id is unique in the whole tree."""

    id: str
    restart: str
    significant: bool = False
    sub: "Tree | None" = None


@attrs.frozen
class Tree:
    """A supervisor with options and children. `spares` may be added at run time.

    With the strategy `dynamic`, all children are added at run time.
    """

    id: str
    kids: tuple[Kid, ...]
    strategy: str = "one_for_one"
    intensity: int = 3
    auto: str = "never"
    spares: tuple[Kid, ...] = ()

    def below(self) -> Iterator[Kid]:
        """Yield all children that may ever run in the tree."""
        for kid in (*self.kids, *self.spares):
            yield kid
            if kid.sub is not None:
                yield from kid.sub.below()

    def trees(self) -> "Iterator[Tree]":
        """Yield the tree and all trees below."""
        yield self
        yield from (tree for kid in self.below() if (tree := kid.sub) is not None)

    def spec(self, stage: Stage) -> SupervisorSpec | DynamicSupervisorSpec:
        """Return the supervisor spec."""
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
    """Return the child spec."""
    fields: dict[str, Any] = {"restart": Restart(kid.restart), "significant": kid.significant}
    if kid.sub is None:
        return stage.child(kid.id, **fields)
    kind = DynamicSupervisor if kid.sub.strategy == "dynamic" else Supervisor
    spec: Any = kid.sub.spec(stage)
    return Child(spec, id=kid.id, name=Name(kid.id, kind), **fields)


@attrs.define
class World:
    """The starts and the log of a model's workers.

    Attributes:
        fates: the result of the n-th start of a worker: `a2` maps to `fail` or `ignore`.
    """

    fates: dict[str, str]
    starts: Counter[str] = attrs.field(factory=Counter[str], init=False)
    log: list[str] = attrs.field(factory=list[str], init=False)

    def fate(self, id: str) -> str:  # noqa: A002
        """Start a worker. Return `fail`, `ignore`, or an empty string."""
        self.starts[id] += 1
        fate = self.fates.get(f"{id}{self.starts[id]}", "")
        self.log.append(f"{fate or 'start'} {id}")
        return fate

    def term(self, id: str, how: str) -> None:  # noqa: A002
        """End a worker. A killed worker writes no log line."""
        if how != "killed":
            self.log.append(f"term {id} {how}")


@st.composite
def trees(draw: st.DrawFn, id: str = "r", depth: int = 3, plain: bool = False) -> Tree:  # noqa: A002
    """Draw a tree with at most `depth` levels of supervisors.

    A plain tree has no spares and no auto_shutdown, and may have dynamic supervisors.
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
