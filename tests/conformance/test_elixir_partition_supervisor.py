"""Elixir's partition_supervisor_test, as far as no test beside the source proves it."""

import pytest

from okibi.actors import Server
from okibi.supervisors import AutoShutdown, Child, PartitionSupervisorSpec


def test_start_link_1_raises_without_child_spec() -> None:
    """Adapted: what a value lacks is Python's TypeError."""
    with pytest.raises(TypeError, match="child"):
        PartitionSupervisorSpec()  # type: ignore[call-arg]


def test_start_link_1_raises_with_bad_auto_shutdown() -> None:
    """Adapted: there is no such field."""
    with pytest.raises(TypeError, match="auto_shutdown"):
        PartitionSupervisorSpec(Child(Server), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)  # type: ignore[call-arg]
