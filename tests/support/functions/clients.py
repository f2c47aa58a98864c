"""asyncio libraries, used as documented, with clients kept between invocations."""

import asyncio
import os

_kept = {}


async def with_aiohttp(event, context):
    import aiohttp

    if "session" not in _kept:
        _kept["session"] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
    async with _kept["session"].get(event["url"]) as answer:
        return await answer.json()


async def with_httpx(event, context):
    import httpx

    if "client" not in _kept:
        _kept["client"] = httpx.AsyncClient(timeout=5)
    answers = await asyncio.gather(*(_kept["client"].get(event["url"]) for _ in range(3)))
    return max(answer.json()["requests"] for answer in answers)


async def with_asyncpg(event, context):
    import asyncpg

    if "pool" not in _kept:
        _kept["pool"] = await asyncpg.create_pool(os.environ["DATABASE"], min_size=1, max_size=2)
    async with _kept["pool"].acquire() as connection:
        if event.get("do") == "sleep":
            await connection.execute("SELECT pg_sleep(60)")
        async with connection.transaction():
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            return [pid, await connection.fetchval("SELECT $1::int + 1", event["number"])]


async def with_psycopg(event, context):
    from psycopg_pool import AsyncConnectionPool

    if "pool" not in _kept:
        _kept["pool"] = AsyncConnectionPool(os.environ["DATABASE"], min_size=1, open=False)
        await _kept["pool"].open()
    async with _kept["pool"].connection() as connection:
        cursor = await connection.execute("SELECT %s + 1", (event["number"],))
        return (await cursor.fetchone())[0]


async def with_sqlalchemy(event, context):
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    if "engine" not in _kept:
        place = os.environ["DATABASE"].replace("postgresql:", "postgresql+asyncpg:")
        _kept["engine"] = create_async_engine(place)
    async with _kept["engine"].begin() as connection:
        found = await connection.execute(text("SELECT :number + 1"), {"number": event["number"]})
        return found.scalar_one()


async def with_redis(event, context):
    from redis.asyncio import Redis

    if "redis" not in _kept:
        _kept["redis"] = Redis.from_url(os.environ["REDIS"])
    key = f"number-{event['number']}"
    await _kept["redis"].set(key, event["number"])
    return await _kept["redis"].incr(key)


async def with_aiobotocore(event, context):
    from aiobotocore.session import get_session

    client = get_session().create_client(
        "s3", endpoint_url=os.environ["AWS"], region_name="us-east-1",
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    async with client as s3:
        await s3.create_bucket(Bucket="numbers")
        key = f"number-{event['number']}"
        await s3.put_object(Bucket="numbers", Key=key, Body=str(event["number"] + 1))
        answer = await s3.get_object(Bucket="numbers", Key=key)
        return int(await answer["Body"].read())


async def _call_asgi(application, path):
    """Call an ASGI application once, and return the body as a number."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    messages, more = [], asyncio.Event()

    async def receive():
        if not more.is_set():
            more.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.Future()

    async def send(message):
        messages.append(message)

    await application(scope, receive, send)
    return int(b"".join(each.get("body", b"") for each in messages))


async def with_fastapi(event, context):
    """Serve an `async def` and a `def`, which FastAPI runs in a thread."""
    from fastapi import FastAPI

    if "fastapi" not in _kept:
        application = _kept["fastapi"] = FastAPI()

        @application.get("/add/{number}")
        async def add(number: int) -> int:
            await asyncio.sleep(0)
            return number + 1

        @application.get("/add/in/thread/{number}")
        def add_in_thread(number: int) -> int:
            return number + 1

    first = await _call_asgi(_kept["fastapi"], f"/add/{event['number']}")
    return await _call_asgi(_kept["fastapi"], f"/add/in/thread/{first - 1}")


async def with_django(event, context):
    """Serve a plain view, which Django runs in asgiref's thread."""
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    if "django" not in _kept:

        def add(request, number):
            return HttpResponse(str(number + 1))

        urls = [path("add/<int:number>", add)]
        settings.configure(
            ROOT_URLCONF=type("urls", (), {"urlpatterns": urls}), ALLOWED_HOSTS=["*"], MIDDLEWARE=[]
        )
        django.setup()
        from django.core.handlers.asgi import ASGIHandler

        _kept["django"] = ASGIHandler()
    return await _call_asgi(_kept["django"], f"/add/{event['number']}")
