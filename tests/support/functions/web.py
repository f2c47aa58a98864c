"""User code behind HTTP: what a request asks for is in its path and query."""

import base64
import hashlib
import time
from pathlib import Path

import trio

from okibi.runtime import Prelude


def handler(event, context):
    path = event.get("rawPath") or event["path"]
    query = event.get("queryStringParameters") or {}
    match path.strip("/").rpartition("/")[2]:
        case "raise":
            raise ValueError("this is the function's own error")
        case "sleep":
            time.sleep(float(query["seconds"]))
        case "gated":
            while not Path(query["gate"]).exists():
                time.sleep(0.01)
        case "cookies":
            cookies = [f"c{number}={number}; Path=/" for number in range(50)]
            return {"statusCode": 200, "cookies": cookies, "body": ",".join(event["cookies"])}
        case "large":
            return {"statusCode": 200, "body": "x" * int(query["size"])}
        case "bytes":
            body = base64.b64decode(event["body"])
            return {
                "statusCode": 200,
                "headers": {
                    "content-type": "application/octet-stream",
                    "x-sha256": hashlib.sha256(body).hexdigest(),
                },
                "body": base64.b64encode(body[::-1]).decode(),
                "isBase64Encoded": True,
            }
        case "size":
            return {"size": len(event.get("body", ""))}
        case "no-content":
            return {"statusCode": 204, "headers": {"x-a": "b"}}
        case "own-cors":
            return {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}
    return event


async def stream(event, context):
    query = event.get("queryStringParameters", {})
    match event["rawPath"]:
        case "/gated":
            yield Prelude(201, headers={"content-type": "text/plain"}, cookies=["a=b", "c=d"])
            yield "first\n"
            await wait_for(query["gate"])
            yield "second\n"
        case "/events":
            yield Prelude(headers={"content-type": "text/event-stream"})
            for number in range(3):
                yield f"id: {number}\ndata: event {number}\n\n"
        case "/endless":
            yield "begun\n"
            for _ in range(200):
                yield b"x" * 65536
            await trio.Path(query["mark"]).write_text("the function went on")
        case "/plain":
            yield b"\x00\x01"
        case "/late":
            yield Prelude(headers={"content-type": "text/plain"})
            yield "first\n"
            raise ValueError("late")
        case "/early":
            raise ValueError("early")
        case "/nothing":
            yield Prelude(204, headers={"x-a": "b"})


async def wait_for(path):
    while not await trio.Path(path).exists():  # noqa: ASYNC110 - a file has no event
        await trio.sleep(0.01)
