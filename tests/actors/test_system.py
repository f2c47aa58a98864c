"""A system message: answered once, by the loop, if anybody still waits for it."""

from okibi.actors.request import Request
from okibi.actors.system import SystemMessage


async def over(_: object) -> bool:
    return True


def message(done: list[object], error: Exception | None = None) -> SystemMessage:
    def act(server: object) -> str:
        done.append(server)
        if error is not None:
            raise error
        return "answer"

    return SystemMessage(Request("ask", (), {}, None, True), act, over)


async def test_it_is_answered_and_then_served_on() -> None:
    done: list[object] = []
    order = message(done)

    assert await order.perform("server")
    assert (done, order.request.result()) == (["server"], "answer")


def test_what_its_act_raises_is_told_to_who_asked() -> None:
    order = message([], ValueError("no"))

    order.settle("server")

    assert order.request.settled
    assert not order.request.answer("late")


def test_one_that_nobody_waits_for_any_more_is_not_carried_out() -> None:
    done: list[object] = []
    order = message(done)
    order.request.abandon()

    order.settle("server")

    assert done == []
