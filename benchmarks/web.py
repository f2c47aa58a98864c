"""A FastAPI application served by okibi, compared with Mangum on the official client."""

import json

import attrs

from okibi.bench.measured_runtime import OFFICIAL_CLIENT, start_command
from okibi.local.services.http_events import IncomingRequest, make_function_url_event

from .contenders import PLAIN, Contender
from .growth import BAR, FIRST, GOAL, LAST, grown
from .overhead import EventSize, cycle, print_medians, row, take_turns
from .reporting.rows import RatioRow, compare

REQUEST = IncomingRequest(
    "GET",
    "/items/3",
    "q=a",
    [("host", "abc.lambda-url.eu-central-1.on.aws"), ("accept", "*/*"), ("user-agent", "curl/8")],
    received_at=1.0,
)
EVENT = EventSize("FastAPI", json.dumps(make_function_url_event(REQUEST, "abc")), 0.5)

BY_MANGUM = "web_app.handler"
MANGUM = Contender(
    f"{OFFICIAL_CLIENT}, Mangum", start_command(OFFICIAL_CLIENT, BY_MANGUM), BY_MANGUM
)
MANGUM_ON_OKIBI = attrs.evolve(PLAIN, name="okibi, Mangum", handler=BY_MANGUM)
WEB = attrs.evolve(PLAIN, name="okibi, ASGI", handler="web_app.app")
WEB_ON_TRIO = attrs.evolve(WEB, name="okibi, ASGI on trio", variables=(("OKIBI_LOOP", "trio"),))
CPU = (0.90, 0.75)


def web(rounds: int, count: int) -> list[RatioRow]:
    """Measure whole events of a FastAPI application."""
    found = take_turns((MANGUM, MANGUM_ON_OKIBI, WEB, WEB_ON_TRIO), EVENT, rounds, count)
    print_medians(EVENT, found)
    cpu = {each: ((each, "cpu_us"), (MANGUM, "cpu_us")) for each in found}
    return [
        row(EVENT, found, cpu[WEB], "CPU, okibi / Mangum on awslambdaric", CPU),
        row(EVENT, found, cpu[WEB_ON_TRIO], "CPU, okibi on trio / the same", CPU),
        row(EVENT, found, cpu[MANGUM_ON_OKIBI], "CPU, Mangum on okibi / the same"),
        cycle(EVENT, found, WEB, MANGUM, "okibi / Mangum on awslambdaric"),
    ]


def web_growth() -> list[RatioRow]:
    """Measure the memory of a FastAPI application after 100,000 requests, against 1,000."""
    pairs = [grown(WEB, FIRST, LAST, EVENT.payload)]
    what = f"FastAPI on okibi, after {LAST:,} / after {FIRST:,}"
    return [compare("memory", what, [*zip(*pairs, strict=True)], "MiB", (BAR, GOAL))]
