"""The cases of Elixir's partition_supervisor_test without a test in tests/supervisors."""

import pytest

from okibi.actors import Server
from okibi.supervisors import AutoShutdown, Child, PartitionSupervisorSpec


def test_start_link_1_raises_without_child_spec() -> None:
    """Adapted: a missing argument raises Python's TypeError."""
    with pytest.raises(TypeError, match="child"):
        PartitionSupervisorSpec()  # type: ignore[call-arg]


def test_start_link_1_raises_with_bad_auto_shutdown() -> None:
    """Adapted: the field does not exist."""
    with pytest.raises(TypeError, match="auto_shutdown"):
        PartitionSupervisorSpec(Child(Server), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)  # type: ignore[call-arg]
