"""The routes that `make aws` tries."""

from benchmarks.aws.routes import (
    BUNDLED,
    CUSTOM,
    EMULATED,
    IMAGE,
    ROUTES,
    Conditions,
    choose_routes,
)

EMULATOR = "http://127.0.0.1:4566"


def test_all_routes_are_tried_where_everything_is_there() -> None:
    routes, skipped = choose_routes([], Conditions(docker=True, interpreter="python/bin/python3"))

    assert routes == [*ROUTES]
    assert skipped == []


def test_a_route_whose_needs_are_missing_is_skipped_with_the_reason() -> None:
    _, skipped = choose_routes([], Conditions())

    assert dict(skipped) == {
        BUNDLED: "no Python is named: give --interpreter",
        IMAGE: "Docker is not running",
        CUSTOM: "Docker is not running",
    }


def test_an_emulator_gets_only_the_routes_that_it_knows() -> None:
    routes, skipped = choose_routes([], Conditions(True, "python3", EMULATOR))

    assert routes == [BUNDLED, EMULATED]
    assert len(skipped) == len(ROUTES) - 1
    assert all(reason.startswith("the emulator ") for _, reason in skipped)


def test_only_the_named_routes_are_considered() -> None:
    routes, skipped = choose_routes(["managed", "image"], Conditions())

    assert [route.name for route in routes] == ["managed"]
    assert [route.name for route, _ in skipped] == ["image"]
