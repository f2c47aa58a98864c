"""The mutants of `make mutate`, and the explanations of the survivors."""

import pytest

from tests.mutation.__main__ import choose_mutants, find_file, name_of, read_explanations
from tests.mutation.mutants import mutants
from tests.mutation.targets import TARGETS, is_sampled


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


def test_docstrings_annotations_imports_and_wordings_are_not_mutated() -> None:
    assert list_mutants(
        '"""Doc."""\nimport os\n\ndef f(x: "int" = "a b") -> "str":\n    """Doc."""\n    g("a")\n'
    ) == ["f: g('a') -> nothing", "f: 'a' -> 'ax'"]


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


def test_the_choice_of_a_mutant_survives_edits_of_other_code() -> None:
    function = "    def f(self):\n        return self.a + 1 if self.b > 2 else self.c\n"
    before = [*mutants(f"class Lane:\n{function}")]
    after = [*mutants(f"LIMIT = 3\n\nclass Outbox:\n    count = 0\n{function}")]

    chosen = [str(each) for each in before if is_sampled(each, 0.5, seed=1)]
    still = [str(each) for each in after if is_sampled(each, 0.5, seed=1)]

    assert 2 <= len(chosen) < len(before)
    assert [name.replace("Lane", "Outbox") for name in chosen] == [
        name for name in still if name.startswith("Outbox.f")
    ]


@pytest.mark.slow
def test_mutants_have_unique_names_and_explained_mutants_exist() -> None:
    names = [
        name_of(module, mutant)
        for target in TARGETS.values()
        for module in target.modules
        for mutant in mutants(find_file(module).read_text("utf-8"))
    ]

    assert len(names) == len(set(names))
    assert read_explanations().keys() <= set(names)
    assert all(read_explanations().values())


@pytest.mark.slow
def test_each_target_has_some_sixty_mutants_or_all() -> None:
    for target in TARGETS.values():
        assert len(choose_mutants(target, seed=1)) >= 45
