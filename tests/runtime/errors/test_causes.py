"""What stands behind an error."""

from okibi.runtime.errors.causes import LIMIT, find_related


def told(error: BaseException) -> list[str]:
    return [f"{each.relation}{each.error!r}" for each in find_related(error)]


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


def test_an_error_of_its_own_has_nothing_behind_it() -> None:
    assert told(ValueError()) == []


def test_a_cause_counts_more_than_what_was_being_handled() -> None:
    error = linked(ValueError(), cause=KeyError(1), context=OSError(2))

    assert told(error) == ["Caused by KeyError(1)"]


def test_what_was_being_handled_is_told_unless_it_is_said_to_be_no_matter() -> None:
    error = linked(ValueError(), context=OSError(2))
    assert told(error) == ["While handling OSError(2)"]

    error.__suppress_context__ = True
    assert told(error) == []


def test_members_come_in_order_each_with_what_stands_behind_it() -> None:
    group = BaseExceptionGroup(
        "all",
        [
            linked(ValueError(1), cause=KeyError(2)),
            ExceptionGroup("inner", [OSError(3)]),
            SystemExit(4),
        ],
    )

    assert told(linked(group, cause=TypeError(5))) == [
        "ValueError(1)",
        "Caused by KeyError(2)",
        "ExceptionGroup('inner', [OSError(3)])",
        "OSError(3)",
        "SystemExit(4)",
        "Caused by TypeError(5)",
    ]


def test_a_circle_ends() -> None:
    first, second = ValueError(1), ValueError(2)
    linked(first, cause=second)
    linked(second, cause=first)

    assert told(first) == ["Caused by ValueError(2)"]


def test_there_is_a_limit() -> None:
    assert len(find_related(ExceptionGroup("many", [ValueError(n) for n in range(1000)]))) == LIMIT
