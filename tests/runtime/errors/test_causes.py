"""The errors behind an error."""

from okibi.runtime.errors.causes import LIMIT, find_related


def related(error: BaseException) -> list[str]:
    return [f"{relation}{behind!r}" for relation, behind in find_related(error)]


def linked(
    error: BaseException,
    *,
    cause: BaseException | None = None,
    context: BaseException | None = None,
) -> BaseException:
    error.__context__ = context
    if cause is not None:
        error.__cause__ = cause
    return error


def test_an_error_without_a_cause_has_no_related_errors() -> None:
    assert related(ValueError()) == []


def test_a_cause_hides_the_error_that_was_being_handled() -> None:
    error = linked(ValueError(), cause=KeyError(1), context=OSError(2))

    assert related(error) == ["Caused by KeyError(1)"]


def test_the_error_being_handled_is_related_unless_suppressed() -> None:
    error = linked(ValueError(), context=OSError(2))
    assert related(error) == ["While handling OSError(2)"]

    error.__suppress_context__ = True
    assert related(error) == []


def test_members_come_in_order_each_with_its_related_errors() -> None:
    group = BaseExceptionGroup(
        "all",
        [
            linked(ValueError(1), cause=KeyError(2)),
            ExceptionGroup("inner", [OSError(3)]),
            SystemExit(4),
        ],
    )

    assert related(linked(group, cause=TypeError(5))) == [
        "ValueError(1)",
        "Caused by KeyError(2)",
        "ExceptionGroup('inner', [OSError(3)])",
        "OSError(3)",
        "SystemExit(4)",
        "Caused by TypeError(5)",
    ]


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError(1), ValueError(2)
    linked(first, cause=second)
    linked(second, cause=first)

    assert related(first) == ["Caused by ValueError(2)"]


def test_the_number_of_related_errors_is_limited() -> None:
    assert len(find_related(ExceptionGroup("many", [ValueError(n) for n in range(1000)]))) == LIMIT
