"""A request: how a method travels, and its one-shot slot."""

import functools
import inspect

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, Server
from okibi.actors.request import NOT_MESSAGES, Request, message_name, shown


def request(*args: object, wanted: bool = True, **kwargs: object) -> Request:
    return Request("visit", args, kwargs, None, wanted)


class Visits(Server):
    async def visit(self) -> None: ...

    async def _private(self) -> None: ...


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


async def test_an_answer_reaches_who_waits(nursery: trio.Nursery) -> None:
    asked = request()

    async def answer() -> None:
        await wait_all_tasks_blocked()
        asked.answer(1)

    nursery.start_soon(answer)
    assert await asked.reply() == 1


async def test_an_answer_that_came_before_the_wait_is_kept() -> None:
    asked = request()
    asked.answer(1)

    assert await asked.reply() == 1


async def test_a_failure_is_raised_in_who_waits() -> None:
    asked = request()
    asked.fail(KeyError("k"))

    with pytest.raises(KeyError):
        await asked.reply()


async def test_a_second_answer_is_harmless() -> None:
    asked = request()
    asked.answer(1)
    asked.answer(2)
    asked.fail(KeyError("k"))

    assert await asked.reply() == 1


async def test_a_late_answer_is_dropped() -> None:
    asked = request()
    with trio.move_on_after(0):
        await asked.reply()

    assert not asked.wanted
    asked.answer(1)
    asked.fail(KeyError("k"))


def test_nobody_wants_the_answer_to_a_cast() -> None:
    request(wanted=False).fail(KeyError("k"))


def test_a_request_is_named_by_its_method_without_what_it_is_given() -> None:
    assert str(request("bob", 1, how="well")) == "visit()"
    assert shown(request(Broken())) == "visit()"


def test_another_message_is_named_by_its_type() -> None:
    assert shown("secret") == "a message of type str"
    assert shown(Broken()) == "a message of type Broken"


def test_a_message_travels_by_its_methods_name() -> None:
    assert message_name(Visits.visit) == "visit"


@pytest.mark.parametrize("method", [functools.partial(Visits.visit), "visit", None, 3])
def test_what_is_no_method_is_no_message(method: object) -> None:
    with pytest.raises(TypeError, match="a message is a method of the server's class, not"):
        message_name(method)


class Log(Visits):
    async def visit(self) -> None:
        await super().visit()


@pytest.mark.parametrize("method", [Log().visit, super(Log, Log()).visit])
def test_a_method_that_is_bound_to_an_object_is_no_message(method: object) -> None:
    with pytest.raises(TypeError) as refused:
        message_name(method)

    assert str(refused.value) == (
        "visit is bound to one Log, and a message names its receiver by its address: "
        "write ref.call(Log.visit, ...)"
    )


def test_a_method_that_a_decorator_or_a_class_has_bound_is_a_message() -> None:
    class Decorated(Visits):
        @functools.wraps(Visits.visit)
        async def wrapped(self) -> None: ...

        @classmethod
        async def of_class(cls) -> None: ...

        @staticmethod
        async def static() -> None: ...

        @functools.cache  # noqa: B019, an object that is called, and no function
        def cached(self) -> None: ...

    names = ["wrapped", "of_class", "static", "cached"]

    assert [message_name(getattr(Decorated, name)) for name in names] == [
        "visit",
        "of_class",
        "static",
        "cached",
    ]


@pytest.mark.parametrize("method", [Visits._private, Server.init, Server.terminate, Server.run])
def test_private_methods_and_callbacks_are_no_messages(method: object) -> None:
    with pytest.raises(TypeError, match="is no message"):
        message_name(method)


def test_not_messages_are_the_public_names_of_actor_and_server() -> None:
    public = {
        name
        for cls in (Actor, Server)
        for name, _ in inspect.getmembers(cls)
        if not name.startswith("_")
    }

    assert public == NOT_MESSAGES


def test_a_method_with_the_name_of_a_callback_is_told_of_it() -> None:
    class Inbox(Server):
        async def receive(self, letter: str) -> None: ...  # type: ignore[override]

    with pytest.raises(TypeError, match="every server has a receive; give yours another name"):
        message_name(Inbox.receive)
