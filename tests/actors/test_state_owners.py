"""Each attribute of a process is written by the module of its class; others call a method."""

import pytest

from okibi.actors.cancel_scopes import CancelScopes
from okibi.actors.life import Life
from okibi.actors.process import Process
from okibi.actors.wait_cycles import Waits
from okibi.actors.work import Work
from tests.support.attribute_owners import attributes_of, foreign_writes

STATE = [Process, Life, Work, Waits, CancelScopes]
# Attributes of other objects with the same name.
OTHERS = {"context.task", "place.reason", "shutdown.root", "sys.path"}


@pytest.mark.parametrize("kind", STATE)
def test_no_other_module_writes_an_attribute(kind: type) -> None:
    assert foreign_writes(kind, OTHERS) == set()


@pytest.mark.parametrize("kind", STATE)
def test_a_class_has_at_most_12_attributes(kind: type) -> None:
    assert len(attributes_of(kind)) <= 12
