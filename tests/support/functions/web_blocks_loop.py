"""A web application whose `async def` routes block the loop."""

import time

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def short(request):
    time.sleep(0.6)  # noqa: ASYNC251
    return PlainTextResponse("short")


async def other(request):
    time.sleep(0.6)  # noqa: ASYNC251
    return PlainTextResponse("other")


async def late(request):
    time.sleep(60)  # noqa: ASYNC251


app = Starlette(routes=[Route(f"/{route.__name__}", route) for route in (short, other, late)])
