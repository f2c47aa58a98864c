"""What the overhead is measured with."""

import json

import pytest

from benchmarks.overhead import BETWEEN, LARGE, SMALL, server_in_words


def test_events_are_as_large_as_they_are_called() -> None:
    units = {"B": 1, "KB": 1000, "MB": 1_000_000}
    for size in (*SMALL, *LARGE, BETWEEN):
        number, unit = size.name.split()
        named = float(number) * units[unit]
        assert abs(len(size.payload) - named) < 0.01 * named


def test_the_event_of_2_6_kb_is_one_of_api_gateway_s() -> None:
    (size,) = (size for size in SMALL if size.name == "2.6 KB")

    event = json.loads(size.payload)
    assert event["requestContext"]["httpMethod"] == event["httpMethod"]
    # As it is echoed: what comes back has to be the same bytes.
    assert json.dumps(event) == size.payload


@pytest.mark.parametrize(("cores", "where"), [(1, "the runtime's core"), (2, "of its own")])
def test_the_server_is_said_to_have_a_core_of_its_own_only_where_it_has(
    cores: int, where: str
) -> None:
    said = server_in_words("40% of okibi's", cores)

    assert where in said
    assert ("of its own" in said) is (cores > 1)
