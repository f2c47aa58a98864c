"""Four bare trio tasks: an event's way through okibi with nothing of okibi left.

Read, dispatched, handled, answered in a task each, with httptools and msgspec, and one write for
the answer and the next question: what trio itself costs at four hops an event. No ledger, so what
is killed is lost; no deadline, no supervision, no log; a write that the kernel takes only in part
would break it, so it is for small events alone.
"""

import os
import socket
import sys
from typing import Any

import httptools
import msgspec
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from .lanes import ANSWER, NEXT


class Box:
    """Where one task leaves things for another, which parks while there is nothing."""

    def __init__(self) -> None:
        self._things = list[Any]()
        self._parked: Task | None = None

    def put(self, thing: object) -> None:
        self._things.append(thing)
        parked, self._parked = self._parked, None
        if parked is not None:
            reschedule(parked)

    async def take(self) -> Any:
        if not self._things:
            self._parked = current_task()
            await wait_task_rescheduled(self._abort)
        return self._things.pop(0)

    def _abort(self, _: object) -> Abort:
        self._parked = None
        return Abort.SUCCEEDED


class Answers:
    """What httptools calls while it reads."""

    def __init__(self) -> None:
        self.complete = list[tuple[int, dict[bytes, bytes], bytes]]()
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self._headers = dict[bytes, bytes]()
        self._body = list[bytes]()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        self.complete.append((status, self._headers, b"".join(self._body)))


async def handler(event: Any, context: object) -> Any:
    return event


async def poll(api: socket.socket, to: Box) -> None:
    answers = Answers()
    while True:
        await trio.lowlevel.wait_readable(api)
        answers.parser.feed_data(api.recv(65536) or sys.exit("the server has gone"))
        complete, answers.complete = answers.complete, []
        for status, headers, body in complete:
            if status == 200:
                to.put((headers, body))


async def dispatch(events: Box, to: Box) -> None:
    while True:
        to.put(await events.take())


async def work(events: Box, to: Box) -> None:
    while True:
        headers, body = await events.take()
        result = None
        with trio.CancelScope():
            result = await handler(msgspec.json.decode(body), None)
        to.put((headers[b"lambda-runtime-aws-request-id"], msgspec.json.encode(result)))


async def respond(api: socket.socket, results: Box) -> None:
    while True:
        request_id, body = await results.take()
        api.send(ANSWER % (request_id, len(body), body))


async def main() -> None:
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    events, handed_out, results = Box(), Box(), Box()
    with socket.create_connection((host, int(port))) as api:
        api.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        api.setblocking(False)
        api.send(NEXT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll, api, events)
            nursery.start_soon(dispatch, events, handed_out)
            nursery.start_soon(work, handed_out, results)
            nursery.start_soon(respond, api, results)


if __name__ == "__main__":
    trio.run(main)
