"""An exception whose class and whose methods are a user's: its actor ends as after any other."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import Actor, ActorExited, Down, Exit, Name, Refusal, Server, StartError, start
from okibi.supervisors import Child, ChildFailed, Supervision, Supervisor, snapshot, supervise


class Own(BaseException):
    """No Exception: what catches only those lets it by."""


def nameless() -> Exception:
    """One whose class raises whatever it is asked for; pytest must not find that class."""

    class Kind(type):
        def __getattribute__(cls, name: str) -> Any:
            raise Own(name)

    class Nameless(Exception, metaclass=Kind):
        pass

    return Nameless()


class Mute(Exception):
    def __str__(self) -> str:
        raise Own("str")


class Interrupts(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Closed(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise Own(name)


class ClosedGroup(ExceptionGroup[Exception]):
    def derive(self, _: object) -> "ClosedGroup":  # type: ignore[override]
        raise Own("derive")

    def __getattribute__(self, name: str) -> Any:
        raise Own(name)


class Wordless(Exit):
    """Without a reason: it does not call `Exit.__init__`."""

    def __init__(self) -> None:
        self.code = 1


class Misused(Exit):
    """With a reason that is none."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = "tired"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


HOSTILE: dict[str, Callable[[], Exception]] = {
    "Nameless": nameless,
    "Mute": Mute,
    "Interrupts": Interrupts,
    "Closed": Closed,
    "Wordless": Wordless,
    "Misused": Misused,
    "ClosedGroup": lambda: ClosedGroup("two", [ValueError("one"), KeyError("other")]),
}
KINDS = pytest.mark.parametrize("kind", HOSTILE)


class Shop(Server):
    async def sell(self, kind: str) -> str:
        if kind in HOSTILE:
            raise HOSTILE[kind]()
        return kind

    async def sell_beside(self, kind: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.sell, kind)


SHOP = Name("shop", Shop)


@KINDS
@pytest.mark.parametrize("method", [Shop.sell, Shop.sell_beside])
async def test_a_hostile_exception_ends_its_actor_and_no_other(
    kind: str, method: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []

    class Watcher(Actor):
        async def run(self) -> None:
            self.monitor(SHOP)
            told.append(await self.receive())

    # trio itself looks at what leaves a task of a nursery.
    reads = kind in ("Closed", "ClosedGroup") and method is Shop.sell_beside
    if reads:
        pytest.skip("trio ends its whole run")
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, Supervision([Child(Shop, name=SHOP)]), path="/top")
        await start(nursery, Watcher)
        await trio.sleep(1)
        with pytest.raises(ActorExited) as gone:
            await SHOP.call(method, kind)
        assert gone.value.reason.kind == "crashed"
        await trio.sleep(1)
        assert await SHOP.call(Shop.sell, "tea") == "tea"
        top.stop()

    (down,) = told
    assert isinstance(down, Down)
    assert down.reason.kind == "crashed"
    assert f"/top/shop (incarnation 1) ended: crashed ({kind}" in caplog.text
    assert "a line could not be logged" not in caplog.text


class Lazy:
    """As a lazy object of Django's, whose database is away."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ConnectionError("away")


class Post(Server):
    """Takes any message, and one to itself."""

    async def handle_info(self, message: object) -> None:
        self.continue_with(message)

    async def handle_continue(self, continuation: object) -> None:
        raise ValueError("no room")


async def test_a_message_whose_class_cannot_be_asked_for_is_handled(
    autojump_clock: MockClock,
) -> None:
    post = Name("post", Post)
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, Supervision([Child(Post, name=post)]), path="/top")
        ref = await post.wait()
        await ref.send(Lazy())
        reason = await ref.wait()
        assert await post.wait() != ref
        top.stop()

    assert isinstance(reason.error, ValueError)


async def test_a_message_whose_class_cannot_be_asked_for_may_wait_unread(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Server):
        async def fail(self) -> None:
            await trio.sleep(1)
            raise ValueError("late")

    slow = Name("slow", Slow)
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, Supervision([Child(Slow, name=slow)]), path="/top")
        await slow.cast(Slow.fail)
        await slow.send(Lazy())
        await trio.sleep(0.5)
        assert snapshot(top).children[0].path == "/top/slow"
        await trio.sleep(1)
        top.stop()

    assert "while handling fail(), with 1 message unread" in caplog.text
    assert "its crash report failed" not in caplog.text


@KINDS
async def test_an_init_that_raises_a_hostile_exception_is_a_failed_start(kind: str) -> None:
    class Unready(Server):
        async def init(self) -> None:
            raise HOSTILE[kind]()

    async with trio.open_nursery() as nursery:
        with pytest.raises(StartError) as failed:
            await start(nursery, Unready, path="/unready")

    assert failed.value.reason.kind == "crashed"
    if kind != "Interrupts":  # outside an actor that may be Ctrl-C
        assert f"/unready did not start: crashed ({kind}" in str(failed.value)


async def test_who_waits_is_told_of_an_end_before_any_of_it_is_put_into_words() -> None:
    order: list[str] = []
    gate = trio.Event()

    class Told(Exception):
        def __str__(self) -> str:
            order.append("words")
            return "no"

    class Fragile(Server):
        async def drop(self) -> None:
            await gate.wait()
            raise Told

    with pytest.raises(ExceptionGroup):  # noqa: PT012
        async with trio.open_nursery() as nursery:
            fragile = await start(nursery, Fragile)
            pending = await fragile.request(Fragile.drop)
            watchers = fragile.process().watchers
            watchers["a monitor"] = lambda _: order.append(f"caller has heard: {pending.done}")
            gate.set()

    assert order[:2] == ["caller has heard: True", "words"]


async def test_a_hostile_refusal_is_raised_in_its_caller_and_the_server_lives() -> None:
    class Rude(Refusal):
        def __str__(self) -> str:
            raise Own("str")

    class Host(Server):
        async def refuse(self) -> None:
            raise Rude

        async def greet(self) -> str:
            return "hello"

    async with trio.open_nursery() as nursery:
        host = await start(nursery, Host)
        with pytest.raises(Rude):
            await host.call(Host.refuse)
        await host.cast(Host.refuse)
        assert await host.call(Host.greet) == "hello"
        host.stop()


@KINDS
async def test_a_supervisor_refuses_a_child_whose_init_raises_a_hostile_exception(
    kind: str,
) -> None:
    class Unready(Server):
        async def init(self) -> None:
            raise HOSTILE[kind]()

    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, Supervision([Child(Shop, name=SHOP)]), path="/top")
        with pytest.raises(ChildFailed):
            await top.call(Supervisor.start_child, Child(Unready, id="unready"))
        assert await SHOP.call(Shop.sell, "tea") == "tea"
        top.stop()


@KINDS
async def test_a_supervisor_gives_up_over_a_hostile_exception_as_over_any(
    kind: str, autojump_clock: MockClock
) -> None:
    inner = Supervision([Child(Shop, name=SHOP)], intensity=0)

    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, Supervision([Child(inner, id="inner")]), path="/top")
        [node] = snapshot(top).children
        with pytest.raises(ActorExited):
            await SHOP.call(Shop.sell, kind)
        await trio.sleep(1)
        assert await SHOP.call(Shop.sell, "tea") == "tea"
        [after] = snapshot(top).children
        assert (node.incarnation, after.incarnation) == (1, 2)
        top.stop()
