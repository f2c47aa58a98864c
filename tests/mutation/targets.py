"""The modules that `make mutate` mutates, and the tests that must find the mistakes.

When code moves to another module, the target's `modules` name the new place. The mutants of a
function that moves unchanged stay the same, also in another class.
"""

import hashlib

import attrs

from tests.mutation.mutants import Mutant

__all__ = ["TARGETS", "Target", "is_sampled"]

SUPERVISORS = (
    "tests/supervisors/test_strategy.py",
    "tests/supervisors/test_child_state.py",
    "tests/supervisors/test_auto_shutdown.py",
    "tests/supervisors/test_backoff.py",
    "tests/conformance/test_supervisor_restart.py",
    "tests/conformance/test_supervisor_significant.py",
    "tests/supervisors/test_random_trees.py",
)
# Connections cut at every kind of byte: the tree of the runtime against a platform in memory.
CUTS = ("tests/endurance/test_cuts.py", "tests/endurance/test_stream_cuts.py")


@attrs.frozen
class Target:
    """A part of okibi, with its tests.

    Args:
        modules: the modules that are mutated.
        tests: the tests of these modules.
        wider: tests that run if no test of `tests` finds the mistake.
        share: the share of the mutants that is tried.
        only: the function or class that is mutated; empty for the whole modules.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    wider: tuple[str, ...] = ()
    share: float = 1.0
    only: str = ""


TARGETS = {
    "child_state": Target(("okibi.supervisors.child_state",), SUPERVISORS),
    "strategy": Target(("okibi.supervisors.strategy",), SUPERVISORS),
    "delivery": Target(
        ("okibi.runtime.in_flight.delivery",),
        ("tests/runtime/in_flight/test_delivery.py",),
        ("tests/runtime/serving/test_dispatcher.py", "tests/runtime/serving/test_worker.py", *CUTS),
        share=0.3,
    ),
    "broken_connection": Target(
        ("okibi.runtime.in_flight.broken_connection",),
        ("tests/runtime/in_flight/test_broken_connection.py",),
        CUTS,
    ),
    "ledger": Target(
        ("okibi.runtime.in_flight.ledger",),
        ("tests/runtime/in_flight/test_ledger.py", "tests/runtime/serving/test_dispatcher.py"),
        (
            "tests/runtime/in_flight/test_handover.py",
            "tests/runtime/in_flight/test_interrupted_steps.py",
            "tests/runtime/serving/test_poller.py",
            "tests/runtime/serving/test_worker.py",
            "tests/runtime/serving/test_responder.py",
            "tests/runtime/serving/test_freeze_detector.py",
            "tests/endurance/test_kills.py",
        ),
        share=0.3,
    ),
    "lane": Target(
        tuple(f"okibi.runtime.in_flight.{each}" for each in ("lane", "outbox", "failures")),
        (
            "tests/runtime/in_flight/test_lane.py",
            "tests/runtime/in_flight/test_lane_breaks.py",
            "tests/runtime/in_flight/test_outbox.py",
            "tests/runtime/in_flight/test_failures.py",
            "tests/runtime/in_flight/test_stream.py",
            "tests/runtime/in_flight/test_stream_breaks.py",
        ),
        (
            "tests/runtime/in_flight/test_handover.py",
            "tests/runtime/serving/test_poller.py",
            "tests/runtime/serving/test_responder.py",
            *CUTS,
        ),
        share=0.1,
    ),
    "runtime_api": Target(
        ("okibi.runtime.protocol.runtime_api",),
        ("tests/runtime/protocol/test_runtime_api.py",),
        ("tests/runtime/serving/test_poller.py", "tests/endurance/test_fuzz.py", *CUTS),
        share=0.4,
        only="ApiResponseParser",
    ),
}
"""What `make mutate MODULE=...` may name. A share gives some 60 mutants."""


def is_sampled(mutant: Mutant, share: float, seed: int) -> bool:
    """Whether a seed chooses a mutant. Its function's name and its code decide, nothing else.

    The choice therefore survives every edit of other code.
    """
    function = mutant.where.rpartition(".")[2]
    text = f"{seed} {function}: {mutant.before} -> {mutant.after}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number < share * 2**64
