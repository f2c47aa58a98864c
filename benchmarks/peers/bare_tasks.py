"""Four bare trio tasks: the hops of an event through okibi, without okibi.

A task each reads, dispatches, handles and answers, with httptools and msgspec, and one write for
the response and the next request. This is the cost of four hops per event in trio. There is no
ledger, deadline, supervision or log. A partial write would break it, so it serves small events
only.
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


class Handoff:
    """Passes items from one task to another, which parks while there are none."""

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


class ResponseParser:
    """Collects the responses that httptools parses."""

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


async def poll(api: socket.socket, to: Handoff) -> None:
    answers = ResponseParser()
    while True:
        await trio.lowlevel.wait_readable(api)
        answers.parser.feed_data(api.recv(65536) or sys.exit("the server has gone"))
        complete, answers.complete = answers.complete, []
        for status, headers, body in complete:
            if status == 200:
                to.put((headers, body))


async def dispatch(events: Handoff, to: Handoff) -> None:
    while True:
        to.put(await events.take())


async def work(events: Handoff, to: Handoff) -> None:
    while True:
        headers, body = await events.take()
        result = None
        with trio.CancelScope():
            result = await handler(msgspec.json.decode(body), None)
        to.put((headers[b"lambda-runtime-aws-request-id"], msgspec.json.encode(result)))


async def respond(api: socket.socket, results: Handoff) -> None:
    while True:
        request_id, body = await results.take()
        api.send(ANSWER % (request_id, len(body), body))


async def main() -> None:
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    events, handed_out, results = Handoff(), Handoff(), Handoff()
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
