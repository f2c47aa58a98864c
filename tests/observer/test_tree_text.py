"""A live tree as text."""

from pathlib import Path

from okibi.observer.live_trees import LiveNode
from okibi.observer.tree_text import describe_live


def test_an_actor_is_described_by_its_age_its_restarts_and_its_messages() -> None:
    node = LiveNode(
        path="/function/children/visits", actor="Visits", phase="running", incarnation=3,
        waiting=4, peak=9, callers=2, recent_restarts=0, age=3_700.0, message="visit(str[3])",
        message_age=61.0, line=f"{Path.cwd()}/app.py:12", suspended=True,
        note="holds cart/bob",
    )  # fmt: skip

    assert [*describe_live(node)] == [
        "visits (Visits)",
        "running for 1 h 1 min",
        "suspended",
        "restarted 2 x",
        "4 waiting (at most 9)",
        "2 callers",
        "holds cart/bob",
        "handling visit(str[3]) for 1 min 1 s",
        "at app.py:12",
    ]
