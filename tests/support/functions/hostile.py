"""Handlers that raise exceptions whose class and methods raise."""

from okibi.actors import Server
from okibi.runtime import Function
from okibi.supervisors import Child


class Own(BaseException):
    pass


class Kind(type):
    def __getattribute__(cls, name):
        raise Own(name)


class Nameless(Exception, metaclass=Kind):
    pass


class Mute(Exception):
    def __str__(self):
        raise Own("str")


class Closed(Exception):
    def __getattribute__(self, name):
        raise Own(name)


class ClosedGroup(ExceptionGroup):
    def __getattribute__(self, name):
        raise Own(name)


def error_of(kind):
    if kind == "Long":
        return ValueError("x" * 50_000_000)
    if kind == "ClosedGroup":
        return ClosedGroup("two", [ValueError("one"), KeyError("other")])
    return {"Nameless": Nameless, "Mute": Mute, "Closed": Closed}[kind]()


async def handler(event, context):
    if "raise" in event:
        raise error_of(event["raise"])
    return "served"


def plain(event, context):
    if "raise" in event:
        raise error_of(event["raise"])
    return "served"


class Unready(Server):
    async def init(self):
        raise Closed


unready = Function(handler, [Child(Unready, id="unready")])
