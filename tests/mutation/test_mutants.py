"""What `make mutate` puts in, and what it takes for explained."""

from tests.mutation.__main__ import MODULES, ROOT, explained
from tests.mutation.mutants import mutants


def told(source: str) -> list[str]:
    return [str(mutant) for mutant in mutants(source)]


def test_a_mutant_is_one_small_mistake() -> None:
    source = "def late(now, limit):\n    return now >= limit and not done(now + 1)\n"

    assert told(source) == [
        "late: return now >= limit and (not done(now + 1)) -> return",
        "late: now >= limit and (not done(now + 1)) -> now >= limit or not done(now + 1)",
        "late: now >= limit and (not done(now + 1)) -> now >= limit",
        "late: now >= limit and (not done(now + 1)) -> not done(now + 1)",
        "late: now >= limit -> now > limit",
        "late: now >= limit -> now < limit",
        "late: not done(now + 1) -> done(now + 1)",
        "late: now + 1 -> now - 1",
        "late: 1 -> 2",
    ]


def test_docstrings_annotations_and_imports_are_left_alone() -> None:
    assert told('"""Doc."""\nimport os\n\ndef f(x: "int" = 1) -> "str":\n    """Doc."""\n') == [
        "f: 1 -> 2"
    ]


def test_rows_of_a_table_are_left_out_one_by_one_and_order_is_reversed() -> None:
    assert told("TABLE = {ChildState.A: 1}\nORDER = (a, b)\n") == [
        "module: TABLE = {ChildState.A: 1} -> nothing",
        "module: ChildState.A: 1 -> nothing",
        "module: 1 -> 2",
        "module: ORDER = (a, b) -> nothing",
        "module: (a, b) -> (b,)",
        "module: (a, b) -> (a,)",
        "module: (a, b) -> (b, a)",
    ]


def test_every_mutant_is_known_by_a_name_of_its_own_and_those_explained_are_there() -> None:
    names: list[str] = []
    for module in MODULES:
        source = (ROOT / "okibi" / "supervisors" / f"{module}.py").read_text("utf-8")
        names += [f"{module}.{mutant}" for mutant in mutants(source)]

    assert len(names) == len(set(names)) > 150
    assert explained().keys() <= set(names)
    assert all(explained().values())
