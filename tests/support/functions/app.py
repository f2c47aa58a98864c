"""User code that does what its event asks for, as a coroutine and as a plain function."""

import os
import socket
import sys
import threading
import time

import trio
from holding import hold


def answer(event):
    return {"pid": os.getpid(), "event": event}


def act(event, context):
    """Do what both kinds of handlers can do."""
    match event.get("do") if isinstance(event, dict) else None:
        case "raise":
            raise ValueError(event.get("text", "asked for"))
        case "exit":
            sys.exit(3)
        case "busy":
            while True:
                pass
        case "remaining":
            return context.get_remaining_time_in_millis()
        case "print":
            print(event["text"], end=event.get("end", "\n"))
    return answer(event)


async def asynchronous(event, context):
    match event.get("do") if isinstance(event, dict) else None:
        case "sleep":
            await trio.sleep_forever()
        case "shield":
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()
        case "swallow":
            while True:
                try:
                    await trio.sleep_forever()
                except trio.Cancelled:
                    continue
        case "block":
            time.sleep(60)  # noqa: ASYNC251, under test
        case "clean up":
            try:
                await trio.sleep(60)
            finally:
                await trio.sleep(1)
        case "nursery":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(waits)
        case "group":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leave)
                await trio.sleep_forever()
    return act(event, context)


async def waits():
    await trio.sleep_forever()


async def leave():
    sys.exit(4)


def works(seconds):
    time.sleep(seconds)


def plain(event, context):
    match event.get("do") if isinstance(event, dict) else None:
        case "sleep":
            time.sleep(60)
        case "recv":
            here, there = socket.socketpair()
            here.recv(1)
            there.close()
        case "lock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        case "stubborn":
            while True:
                try:
                    time.sleep(1)
                except Exception:
                    continue
        case "batch":
            done = []
            for seconds in (0, 60, 0):
                try:
                    works(seconds)
                    done.append(seconds)
                except BaseException:
                    continue
            return done
        case "clean up":
            try:
                time.sleep(60)
            finally:
                time.sleep(61)
        case "gil":
            # Before the watchdog has seen the event, nothing outside the interpreter watches it.
            time.sleep(0.4)
            hold(30)
        case "keep the interpreter":
            # The watchdog has seen the event, but gets no turn any more. The answer comes at 0.5 s.
            time.sleep(0.25)
            sys.setswitchinterval(100)
            while True:
                pass
    return act(event, context)
