"""Alarms and casts of entities in the simulation."""

import attrs
import pytest

from tests.entities.entity_simulation import ENTITIES, EntityWorld
from tests.entities.mutants import HARMFUL, find
from tests.entities.simulation import simulate


@pytest.mark.parametrize("mode", ["quiet", "post"])
def test_the_simulation_of_entities_finds_nothing(mode: str) -> None:
    for seed in range(4):
        assert not simulate(seed, attrs.evolve(ENTITIES, is_quiet=mode == "quiet")).mistakes, seed


def test_a_seed_has_one_history_of_entities() -> None:
    first, second = simulate(3, ENTITIES), simulate(3, ENTITIES)
    assert isinstance(first, EntityWorld)
    assert isinstance(second, EntityWorld)
    assert first.logs == second.logs
    assert first.requests == second.requests


@pytest.mark.parametrize(
    "name", ["an outbox cleared before the move", "an alarm that is not moved"]
)
def test_the_simulation_of_entities_finds_a_mistake(name: str) -> None:
    assert find(HARMFUL[name], range(10)) is not None


def test_a_poisoned_cast_or_alarm_ends_few_sandboxes() -> None:
    deaths = dict[str, int]()
    for seed in range(4):
        world = simulate(seed, attrs.evolve(ENTITIES, poison=0.05))
        assert not world.mistakes
        deaths |= world.deaths
    assert any("!" in name for name in deaths)
    assert 1 < max(deaths.values()) <= 4
