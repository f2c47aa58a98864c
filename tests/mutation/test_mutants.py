"""The mutants of `make mutate`, and the explanations of the survivors."""

from tests.mutation.__main__ import MODULES, ROOT, read_explanations
from tests.mutation.mutants import mutants


def list_mutants(source: str) -> list[str]:
    return [str(mutant) for mutant in mutants(source)]


def test_a_mutant_is_one_small_mistake() -> None:
    source = "def late(now, limit):\n    return now >= limit and not done(now + 1)\n"

    assert list_mutants(source) == [
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


def test_docstrings_annotations_and_imports_are_not_mutated() -> None:
    assert list_mutants(
        '"""Doc."""\nimport os\n\ndef f(x: "int" = 1) -> "str":\n    """Doc."""\n'
    ) == ["f: 1 -> 2"]


def test_table_rows_are_removed_one_by_one_and_order_is_reversed() -> None:
    assert list_mutants("TABLE = {ChildState.A: 1}\nORDER = (a, b)\n") == [
        "module: TABLE = {ChildState.A: 1} -> nothing",
        "module: ChildState.A: 1 -> nothing",
        "module: 1 -> 2",
        "module: ORDER = (a, b) -> nothing",
        "module: (a, b) -> (b,)",
        "module: (a, b) -> (a,)",
        "module: (a, b) -> (b, a)",
    ]


def test_mutants_have_unique_names_and_explained_mutants_exist() -> None:
    names: list[str] = []
    for module in MODULES:
        source = (ROOT / "okibi" / "supervisors" / f"{module}.py").read_text("utf-8")
        names += [f"{module}.{mutant}" for mutant in mutants(source)]

    assert len(names) == len(set(names)) > 150
    assert read_explanations().keys() <= set(names)
    assert all(read_explanations().values())
