"""A bootstrap out of the standard library: the independent client of the local server's tests.

Its handler is the event itself: `{"do": ...}` says what happens.
"""

import json
import os
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection


def call(
    connection: HTTPConnection, method: str, path: str, body: bytes = b""
) -> tuple[str, bytes]:
    connection.request(method, f"/2018-06-01/runtime/{path}", body)
    response = connection.getresponse()
    return response.getheader("Lambda-Runtime-Aws-Request-Id", ""), response.read()


def handle(event: dict[str, object], request_id: str) -> object:
    match event.get("do"):
        case "raise":
            raise ValueError(event["text"])
        case "exit":
            sys.stdout.flush()
            os._exit(int(str(event["status"])))
        case "sleep":
            time.sleep(float(str(event["seconds"])))
        case "print":
            print(event["text"], flush=True)
        case "child":
            child = subprocess.Popen(["sleep", "1000"])
            return {"pid": child.pid}
        case "environment":
            return dict(os.environ)
        case "size":
            return "x" * int(str(event["size"]))
    return {"event": event, "pid": os.getpid(), "id": request_id}


def main() -> None:
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    connection = HTTPConnection(host, int(port))
    match os.environ["_HANDLER"]:
        case "init.error":
            error = {"errorMessage": "broken", "errorType": "Runtime.Broken", "stackTrace": []}
            call(connection, "POST", "init/error", json.dumps(error).encode())
            sys.exit(1)
        case "init.exit":
            sys.exit(3)
        case "init.hang":
            print("hanging", flush=True)
            socket.create_connection((host, int(port))).recv(1)
    while True:
        request_id, body = call(connection, "GET", "invocation/next")
        try:
            answer = json.dumps(handle(json.loads(body), request_id)).encode()
            call(connection, "POST", f"invocation/{request_id}/response", answer)
            if b"answer and exit" in body:
                return
        except ValueError as error:
            answer = json.dumps({"errorMessage": str(error), "errorType": "ValueError"}).encode()
            call(connection, "POST", f"invocation/{request_id}/error", answer)


if __name__ == "__main__":
    main()
