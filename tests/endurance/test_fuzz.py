"""A fixed sample of the mutated answers; `python -m tests.endurance.fuzz` is the whole of it."""

import logging

from tests.endurance.fuzz import case_of, fuzz


async def test_whatever_is_answered_comes_out_as_a_value_or_as_no_http() -> None:
    logging.disable(logging.CRITICAL)
    try:
        counts, failures = await fuzz(1500)
    finally:
        logging.disable(logging.NOTSET)

    assert not failures, "\n".join(failures[:20])
    # The mutants are no mere noise: many are read, and many bring an event.
    assert counts["1 answer"] + counts["2 answers"] + counts["3 answers"] >= 300
    assert counts["events taken by a lane"] >= 300


def test_the_same_number_makes_the_same_case() -> None:
    assert case_of(7) == case_of(7)
    assert case_of(7) != case_of(8)
