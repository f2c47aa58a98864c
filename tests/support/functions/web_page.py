"""A web page and its API in one streaming function (function URL with InvokeMode RESPONSE_STREAM).

The page calls the API by fetch, uploads a file, and reads a stream and server-sent events.
"""

import base64
import hashlib
import json
from pathlib import Path

from web import wait_for

from okibi.runtime import Prelude

PAGE = Path(__file__).with_name("web_page.html")
JSON = {"content-type": "application/json"}


async def handler(event, context):
    match event["requestContext"]["http"]["method"], event["rawPath"]:
        case "GET", "/":
            yield Prelude(headers={"content-type": "text/html; charset=utf-8"})
            yield PAGE.read_bytes()
        case "POST", "/visits":
            name = json.loads(event["body"])["name"]
            yield Prelude(201, headers=JSON, cookies=[f"visitor={name}; Path=/"])
            yield json.dumps({"message": f"hello {name}"})
        case "PUT", "/upload":
            data = base64.b64decode(event["body"])
            yield Prelude(headers=JSON)
            yield json.dumps({"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        case "GET", "/stream":
            yield Prelude(headers={"content-type": "text/plain"})
            yield "first "
            await wait_for(event["queryStringParameters"]["gate"])
            yield "second"
        case "GET", "/events":
            yield Prelude(headers={"content-type": "text/event-stream"})
            for number in range(3):
                yield f"data: {number}\n\n"
            yield "event: end\ndata:\n\n"
        case _:
            yield Prelude(404, headers=JSON)
            yield '{"message": "not found"}'
