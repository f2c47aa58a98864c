"""Twenty packages of PyPI, and one operation of each: `run` returns a value that JSON can hold."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs


@attrs.frozen
class Operation:
    """An operation.

    Args:
        requirement: the package to install.
        source: a module with `run`.
        result: the expected result of `run`.
    """

    requirement: str
    source: str
    result: object


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "numpy": Operation(
            "numpy",
            """
import numpy

def run():
    return numpy.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0]).tolist()
""",
            [1.0, 0.5],
        ),
        "pandas": Operation(
            "pandas",
            """
import pandas

def run():
    frame = pandas.DataFrame({"key": ["a", "b", "a"], "value": [1, 2, 3]})
    return frame.groupby("key")["value"].sum().to_dict()
""",
            {"a": 4, "b": 2},
        ),
        "pydantic": Operation(
            "pydantic",
            """
import pydantic

class Order(pydantic.BaseModel):
    number: int

def run():
    return Order.model_validate({"number": "7"}).model_dump()
""",
            {"number": 7},
        ),
        "boto3": Operation(
            "boto3",
            """
import boto3

client = boto3.client("s3", region_name="eu-central-1", aws_access_key_id="a",
                      aws_secret_access_key="b")

def run():
    url = client.generate_presigned_url("get_object", {"Bucket": "made", "Key": "key"})
    return url.partition("?")[0]
""",
            "https://made.s3.amazonaws.com/key",
        ),
        "sqlalchemy": Operation(
            "sqlalchemy",
            """
import sqlalchemy

def run():
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        return connection.execute(sqlalchemy.text("select 6 * 7")).scalar()
""",
            42,
        ),
        "cryptography": Operation(
            "cryptography",
            """
from cryptography.fernet import Fernet

def run():
    fernet = Fernet(Fernet.generate_key())
    return fernet.decrypt(fernet.encrypt(b"secret")).decode()
""",
            "secret",
        ),
        "django": Operation(
            "django",
            """
import django
from django.conf import settings
from django.http import JsonResponse
from django.test import RequestFactory
from django.urls import path, resolve

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
django.setup()
urlpatterns = [path("hello/<str:name>/", lambda request, name: JsonResponse({"hello": name}))]

def run():
    found = resolve("/hello/bob/")
    answer = found.func(RequestFactory().get("/hello/bob/"), **found.kwargs)
    return answer.content.decode()
""",
            '{"hello": "bob"}',
        ),
        "fastapi": Operation(
            "fastapi",
            """
from fastapi import FastAPI

app = FastAPI()

@app.get("/items/{number}")
def item(number: int) -> dict[str, int]:
    return {"number": number}

def run():
    return [*app.openapi()["paths"]]
""",
            ["/items/{number}"],
        ),
        "pillow": Operation(
            "pillow",
            """
import io
from PIL import Image

def run():
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    return list(Image.open(file).resize((2, 2)).getpixel((0, 0)))
""",
            [255, 0, 0],
        ),
        "lxml": Operation(
            "lxml",
            """
from lxml import etree, html

def run():
    return html.fromstring("<p>one<b>two</b>").xpath("//b/text()")
""",
            ["two"],
        ),
        "orjson": Operation(
            "orjson",
            """
import orjson

def run():
    return orjson.loads(orjson.dumps({"a": [1, None]}))
""",
            {"a": [1, None]},
        ),
        "requests": Operation(
            "requests",
            """
import requests

def run():
    return requests.Request("GET", "https://example.com/", params={"a": 1}).prepare().url
""",
            "https://example.com/?a=1",
        ),
        "httpx": Operation(
            "httpx",
            """
import httpx

def run():
    def answer(request):
        return httpx.Response(200, json={"path": request.url.path})
    transport = httpx.MockTransport(answer)
    with httpx.Client(transport=transport) as client:
        return client.get("https://example.com/made").json()
""",
            {"path": "/made"},
        ),
        "aiohttp": Operation(
            "aiohttp",
            """
import asyncio
import aiohttp
from aiohttp import web

async def hello(request):
    return web.json_response({"hello": "world"})

async def ask():
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/") as answer:
            told = await answer.json()
    await runner.cleanup()
    return told

def run():
    return asyncio.run(ask())
""",
            {"hello": "world"},
        ),
        "psycopg": Operation(
            "psycopg[binary]",
            """
import psycopg
from psycopg import sql

def run():
    made = sql.SQL("select {} from {}").format(sql.Identifier("a"), sql.Identifier("b"))
    return [made.as_string(None), psycopg.pq.__impl__]
""",
            ['select "a" from "b"', "binary"],
        ),
        "redis": Operation(
            "redis",
            """
import redis

def run():
    try:
        redis.Redis(host="127.0.0.1", port=1).ping()
    except redis.ConnectionError as error:
        return type(error).__name__
""",
            "ConnectionError",
        ),
        "jinja2": Operation(
            "jinja2",
            """
import jinja2

def run():
    return jinja2.Template("{% for n in names %}{{ n|upper }} {% endfor %}").render(names="ab")
""",
            "A B ",
        ),
        "pyyaml": Operation(
            "pyyaml",
            """
import yaml

def run():
    return yaml.safe_load("a: [1, 2]")
""",
            {"a": [1, 2]},
        ),
        "sentry-sdk": Operation(
            "sentry-sdk",
            """
import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration

seen = []
sentry_sdk.init("https://made@sentry.invalid/1", integrations=[AwsLambdaIntegration()],
                before_send=lambda event, hint: seen.append(event))

def run():
    try:
        raise LookupError("made")
    except LookupError as error:
        sentry_sdk.capture_exception(error)
    frame = seen[0]["exception"]["values"][0]["stacktrace"]["frames"][-1]
    return [frame["context_line"].strip(), frame["filename"]]
""",
            ['raise LookupError("made")', "use_sentry_sdk.py"],
        ),
        "aws-lambda-powertools": Operation(
            "aws-lambda-powertools",
            """
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

logger = Logger(service="made")
app = APIGatewayHttpResolver()

@app.get("/hello")
def hello():
    return {"hello": "world"}

def run():
    event = {"version": "2.0", "rawPath": "/hello", "headers": {}, "requestContext":
             {"http": {"method": "GET", "path": "/hello"}, "stage": "$default"}}
    return app.resolve(event, None)["body"]
""",
            '{"hello":"world"}',
        ),
    }
)
