"""The extension: registered before the first /next, and nothing that is missing holds the start."""

import signal

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Ref, start
from okibi.local import RuntimeApi
from okibi.runtime.serving.extension import ExtensionConnection, InternalExtension
from tests.support.extensions_api import Extensions
from tests.support.played_api import Played
from tests.support.sandbox import process_of

REGISTERED = b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: x1\r\nContent-Length: 2\r\n\r\n{}"
ASKS = (
    b"GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: api\r\n"
    b"Lambda-Extension-Identifier: x1\r\n\r\n"
)
UNASKED = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"eventType":"INVOKE"}'


def registration() -> tuple[ExtensionConnection, Played]:
    """One that has been written and not been answered."""
    made, played = ExtensionConnection(b"api"), Played()
    made.transport = played
    return made, played


async def extension(nursery: trio.Nursery, made: ExtensionConnection) -> Ref[InternalExtension]:
    return await start(nursery, lambda: InternalExtension(made), path="extension")


# -- in a process


async def test_it_is_registered_before_the_first_next_on_a_connection_of_its_own() -> None:
    extensions = Extensions(RuntimeApi(timeout=30))
    async with process_of("tree.function", extensions=extensions) as (process, api, _):
        await api.invoke(b'{"name": "a"}')
        await extensions.pending.wait()

        assert extensions.seen == ["register", "event/next", "runtime"]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    "status", [403, *(pytest.param(n, marks=pytest.mark.slow) for n in (404, 500))]
)
async def test_where_there_are_no_extensions_it_serves_without(status: int) -> None:
    extensions = Extensions(RuntimeApi(timeout=30), status)
    async with process_of("tree.function", extensions=extensions, AWS_LAMBDA_LOG_LEVEL="DEBUG") as (
        process,
        api,
        said,
    ):
        result = await api.invoke(b'{"name": "a"}')
        assert result.error_type is None
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert extensions.seen == ["register", "runtime"]
    lines = b"".join(said).decode().splitlines()
    (told,) = [line for line in lines if "no extension" in line]
    assert told.startswith("[DEBUG]")
    assert told.endswith(f"no extension, and no SIGTERM from the platform: {status} {{}}")


async def test_it_can_be_turned_off() -> None:
    extensions = Extensions(RuntimeApi(timeout=30))
    async with process_of("tree.function", extensions=extensions, OKIBI_GRACEFUL_SHUTDOWN="0") as (
        _,
        api,
        _,
    ):
        await api.invoke(b'{"name": "a"}')

        assert extensions.seen == ["runtime"]


async def test_a_registration_that_nobody_answers_holds_the_start_for_a_second_only() -> None:
    extensions = Extensions(RuntimeApi(timeout=30), 0)
    async with process_of("tree.function", extensions=extensions) as (_, api, _):
        result = await api.invoke(b'{"name": "a"}')

        assert result.error_type is None
        assert extensions.seen == ["register", "runtime"]


# -- the actor


async def test_its_start_is_over_when_the_registration_is_answered(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    made, played = registration()
    played.say(REGISTERED[:30])
    nursery.start_soon(extension, nursery, made)
    await wait_all_tasks_blocked()
    assert played.taken() == b""

    played.say(REGISTERED[30:])
    await wait_all_tasks_blocked()

    assert made.identifier == b"x1"
    assert played.taken() == ASKS


async def test_an_answer_that_comes_late_is_taken_all_the_same(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    # Lambda waits for the event/next of whoever is registered.
    made, played = registration()
    await extension(nursery, made)
    assert played.taken() == b""

    played.say(REGISTERED)
    await wait_all_tasks_blocked()

    assert played.taken() == ASKS


async def test_a_killed_one_s_successor_goes_on_where_it_was(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    made, played = registration()
    played.say(REGISTERED)
    first = await extension(nursery, made)
    await wait_all_tasks_blocked()
    assert played.taken() == ASKS
    first.kill()

    await extension(nursery, made)
    await wait_all_tasks_blocked()

    assert played.taken() == b""


@pytest.mark.parametrize(
    "broken", [b"", b"no http\r\n\r\n", UNASKED, ConnectionResetError("reset")]
)
async def test_where_its_connection_breaks_it_goes_on_without(
    nursery: trio.Nursery, autojump_clock: object, broken: bytes | OSError
) -> None:
    made, played = registration()
    played.say(REGISTERED)
    actor = await extension(nursery, made)

    played.say(broken)
    await trio.sleep(600)

    assert made.failure
    assert played.closed
    assert actor.alive


@pytest.mark.parametrize("broken", [b"", b"no http\r\n\r\n", ConnectionResetError("reset")])
async def test_broken_before_it_is_registered_there_is_none(
    nursery: trio.Nursery, autojump_clock: object, broken: bytes | OSError
) -> None:
    made, played = registration()
    played.say(broken)

    actor = await extension(nursery, made)

    assert made.failure
    assert played.closed
    assert actor.alive


def test_where_nobody_listens_there_is_none() -> None:
    made = ExtensionConnection(b"api")

    made.register(("127.0.0.1", 1))

    assert "refused" in made.failure
