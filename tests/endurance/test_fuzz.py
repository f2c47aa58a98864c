"""A fixed sample of mutated responses; `python -m tests.endurance.fuzz` runs more."""

import logging

from tests.endurance.fuzz import case_of, fuzz


async def test_a_mutated_response_is_parsed_or_refused() -> None:
    logging.disable(logging.CRITICAL)
    try:
        counts, failures = await fuzz(1500)
    finally:
        logging.disable(logging.NOTSET)

    assert not failures, "\n".join(failures[:20])
    # The mutants are not just noise: many are parsed, and many contain an event.
    assert counts["1 answer"] + counts["2 answers"] + counts["3 answers"] >= 300
    assert counts["events taken by a lane"] >= 300


def test_the_same_number_gives_the_same_case() -> None:
    assert case_of(7) == case_of(7)
    assert case_of(7) != case_of(8)
