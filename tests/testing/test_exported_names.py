"""The names of `okibi.testing`, each imported at its first use."""

import pytest

from okibi import testing


@pytest.mark.parametrize("name", testing.__all__)
def test_each_name_is_there_and_is_completed(name: str) -> None:
    assert getattr(testing, name).__name__ == name
    assert name in dir(testing)


def test_an_unknown_name_raises_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'okibi.testing' has no attribute 'runing'$"):
        getattr(testing, "runing")  # noqa: B009, hidden from type checkers
