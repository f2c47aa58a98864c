"""A system message: answered by the loop, unless the asking task has given up."""

from okibi.actors.request import Request
from okibi.actors.system_messages import SystemMessage


async def over(_: object) -> bool:
    return True


def message(done: list[object], error: Exception | None = None) -> SystemMessage:
    def act(server: object) -> str:
        done.append(server)
        if error is not None:
            raise error
        return "answer"

    return SystemMessage(Request("ask", (), {}, None, True), act, over)


async def test_perform_answers_and_then_serves() -> None:
    done: list[object] = []
    order = message(done)

    assert await order.perform("server")
    assert (done, order.request.result()) == (["server"], "answer")


def test_an_error_of_act_is_raised_in_the_asking_task() -> None:
    order = message([], ValueError("no"))

    order.answer("server")

    assert order.request.settled
    assert not order.request.answer("late")


def test_an_abandoned_system_message_is_not_performed() -> None:
    done: list[object] = []
    order = message(done)
    order.request.abandon()

    order.answer("server")

    assert done == []
