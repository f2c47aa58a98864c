"""Request: the name of a method, and the slot for one answer."""

import functools
import inspect

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, Server
from okibi.actors.request import NOT_MESSAGES, Request, describe, message_name


def request(*args: object, wanted: bool = True, **kwargs: object) -> Request:
    return Request("visit", args, kwargs, None, wanted)


class Visits(Server):
    async def visit(self) -> None: ...

    async def _private(self) -> None: ...


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


async def test_an_answer_reaches_the_waiting_task(nursery: trio.Nursery) -> None:
    asked = request()

    async def answer() -> None:
        await wait_all_tasks_blocked()
        asked.answer(1)

    nursery.start_soon(answer)
    assert await asked.reply() == 1


async def test_an_early_answer_is_kept() -> None:
    asked = request()
    asked.answer(1)

    assert await asked.reply() == 1


async def test_an_error_is_raised_in_the_waiting_task() -> None:
    asked = request()
    asked.fail(KeyError("k"))

    with pytest.raises(KeyError):
        await asked.reply()


async def test_a_second_answer_is_discarded() -> None:
    asked = request()
    asked.answer(1)
    asked.answer(2)
    asked.fail(KeyError("k"))

    assert await asked.reply() == 1


async def test_a_late_answer_is_discarded() -> None:
    asked = request()
    with trio.move_on_after(0):
        await asked.reply()

    assert not asked.wanted
    asked.answer(1)
    asked.fail(KeyError("k"))


def test_the_answer_to_a_cast_is_discarded() -> None:
    request(wanted=False).fail(KeyError("k"))


def test_the_text_of_a_request_has_no_arguments() -> None:
    assert str(request("bob", 1, how="well")) == "visit()"
    assert describe(request(Broken())) == "visit()"


def test_other_messages_are_described_by_type() -> None:
    assert describe("secret") == "a message of type str"
    assert describe(Broken()) == "a message of type Broken"


def test_a_message_carries_the_name_of_its_method() -> None:
    assert message_name(Visits.visit) == "visit"


@pytest.mark.parametrize("method", [functools.partial(Visits.visit), "visit", None, 3])
def test_a_message_must_be_a_method(method: object) -> None:
    with pytest.raises(TypeError, match="a message must be a method of the server's class, got"):
        message_name(method)


class Log(Visits):
    async def visit(self) -> None:
        await super().visit()


@pytest.mark.parametrize("method", [Log().visit, super(Log, Log()).visit])
def test_a_method_bound_to_an_instance_is_no_message(method: object) -> None:
    with pytest.raises(TypeError) as refused:
        message_name(method)

    assert str(refused.value) == (
        "visit is bound to an instance of Log: pass the method of the class, "
        "ref.call(Log.visit, ...)"
    )


def test_decorated_class_and_static_methods_are_messages() -> None:
    class Decorated(Visits):
        @functools.wraps(Visits.visit)
        async def wrapped(self) -> None: ...

        @classmethod
        async def of_class(cls) -> None: ...

        @staticmethod
        async def static() -> None: ...

        @functools.cache  # noqa: B019, an object that is no function
        def cached(self) -> None: ...

    names = ["wrapped", "of_class", "static", "cached"]

    assert [message_name(getattr(Decorated, name)) for name in names] == [
        "visit",
        "of_class",
        "static",
        "cached",
    ]


@pytest.mark.parametrize("method", [Visits._private, Server.init, Server.terminate, Server.run])
def test_private_methods_and_hooks_are_no_messages(method: object) -> None:
    with pytest.raises(TypeError, match="cannot be a message"):
        message_name(method)


def test_not_messages_are_the_public_names_of_actor_and_server() -> None:
    public = {
        name
        for cls in (Actor, Server)
        for name, _ in inspect.getmembers(cls)
        if not name.startswith("_")
    }

    assert public == NOT_MESSAGES


def test_a_method_with_the_name_of_a_hook_is_no_message() -> None:
    class Inbox(Server):
        async def receive(self, letter: str) -> None: ...  # type: ignore[override]

    with pytest.raises(
        TypeError, match="receive cannot be a message: it is a hook or attribute of every S"
    ):
        message_name(Inbox.receive)
