"""The extension is registered before the first /next, and its failure stops nothing."""

import signal
import subprocess
import sys

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Ref, start
from okibi.runtime.protocol.registration import send_registration
from okibi.runtime.serving.extension import ExtensionConnection, InternalExtension
from tests.support.extensions_api import Extensions
from tests.support.played_api import Played
from tests.support.sandbox import process_of, runtime_api

REGISTERED = b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: x1\r\nContent-Length: 2\r\n\r\n{}"
EVENT_REQUEST = (
    b"GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: api\r\n"
    b"Lambda-Extension-Identifier: x1\r\n\r\n"
)
UNASKED = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"eventType":"INVOKE"}'


def registration() -> tuple[ExtensionConnection, Played]:
    """A connection whose registration is sent and has no response yet."""
    connection, wire = ExtensionConnection(b"api"), Played()
    connection.transport = wire
    return connection, wire


async def extension(
    nursery: trio.Nursery, connection: ExtensionConnection
) -> Ref[InternalExtension]:
    return await start(nursery, lambda: InternalExtension(connection), path="extension")


# -- in a process


async def test_the_extension_is_registered_before_the_first_next() -> None:
    extensions = Extensions(runtime_api())
    async with process_of("tree.function", extensions=extensions) as (process, api, _):
        await api.invoke(b'{"name": "a"}')
        await extensions.pending.wait()

        assert extensions.seen == ["register", "event/next", "runtime"]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    "status", [403, *(pytest.param(n, marks=pytest.mark.slow) for n in (404, 500))]
)
async def test_a_refused_registration_does_not_stop_the_function(status: int) -> None:
    extensions = Extensions(runtime_api(), status)
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
    (line,) = [each for each in lines if "no extension" in each]
    assert line.startswith("[DEBUG]")
    assert line.endswith(f"no extension, and no SIGTERM from the platform: {status} {{}}")


async def test_the_extension_can_be_turned_off() -> None:
    extensions = Extensions(runtime_api())
    async with process_of("tree.function", extensions=extensions, OKIBI_GRACEFUL_SHUTDOWN="0") as (
        _,
        api,
        _,
    ):
        await api.invoke(b'{"name": "a"}')

        assert extensions.seen == ["runtime"]


@pytest.mark.slow
async def test_a_registration_without_a_response_delays_init_by_1_s() -> None:
    extensions = Extensions(runtime_api(), 0)
    async with process_of("tree.function", extensions=extensions) as (_, api, _):
        result = await api.invoke(b'{"name": "a"}')

        assert result.error_type is None
        assert extensions.seen == ["register", "runtime"]


# -- the actor


async def test_init_ends_with_the_response_to_the_registration(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    connection, wire = registration()
    wire.say(REGISTERED[:30])
    nursery.start_soon(extension, nursery, connection)
    await wait_all_tasks_blocked()
    assert wire.taken() == b""

    wire.say(REGISTERED[30:])
    await wait_all_tasks_blocked()

    assert connection.identifier == b"x1"
    assert wire.taken() == EVENT_REQUEST


async def test_a_late_response_to_the_registration_is_taken(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    # Lambda waits for the event/next of each registered extension.
    connection, wire = registration()
    await extension(nursery, connection)
    assert wire.taken() == b""

    wire.say(REGISTERED)
    await wait_all_tasks_blocked()

    assert wire.taken() == EVENT_REQUEST


async def test_a_restarted_extension_keeps_the_pending_request(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    connection, wire = registration()
    wire.say(REGISTERED)
    first = await extension(nursery, connection)
    await wait_all_tasks_blocked()
    assert wire.taken() == EVENT_REQUEST
    first.kill()

    await extension(nursery, connection)
    await wait_all_tasks_blocked()

    assert wire.taken() == b""


@pytest.mark.parametrize(
    "broken", [b"", b"no http\r\n\r\n", UNASKED, ConnectionResetError("reset")]
)
async def test_after_a_broken_connection_the_actor_lives_on(
    nursery: trio.Nursery, autojump_clock: object, broken: bytes | OSError
) -> None:
    connection, wire = registration()
    wire.say(REGISTERED)
    actor = await extension(nursery, connection)

    wire.say(broken)
    await trio.sleep(600)

    assert connection.failure
    assert wire.closed
    assert actor.alive


@pytest.mark.parametrize("broken", [b"", b"no http\r\n\r\n", ConnectionResetError("reset")])
async def test_a_break_before_the_registration_means_no_extension(
    nursery: trio.Nursery, autojump_clock: object, broken: bytes | OSError
) -> None:
    connection, wire = registration()
    wire.say(broken)

    actor = await extension(nursery, connection)

    assert connection.failure
    assert wire.closed
    assert actor.alive


def test_a_refused_connection_means_no_extension() -> None:
    connection = ExtensionConnection(b"api")

    sent = send_registration({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"})
    assert isinstance(sent, OSError)
    connection.register(("127.0.0.1", 1), sent)

    assert "refused" in connection.failure


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_LAMBDA_RUNTIME_API": ""},
        {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "OKIBI_GRACEFUL_SHUTDOWN": "0"},
        {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:http"},
        {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:99999"},
    ],
)
def test_no_registration_is_sent_without_a_valid_address(environment: dict[str, str]) -> None:
    assert send_registration(environment) is None


def test_the_registration_is_sent_before_trio_is_imported() -> None:
    code = "import okibi.runtime.protocol.registration, sys; assert 'trio' not in sys.modules"

    subprocess.run([sys.executable, "-P", "-c", code], check=True)
