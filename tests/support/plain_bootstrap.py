"""A bootstrap of the standard library: an independent client for the tests of the local server.

The event `{"do": ...}` says what the handler does. `_HANDLER` says what happens before the first
event: `extension.*` registers an extension.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPResponse

EXTENSION = "/2020-01-01/extension/"

CALL = """
import http.client, os, time
while os.getppid() == PARENT:
    time.sleep(0.01)
client = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
client.request("GET", "/2018-06-01/ping")
print(client.getresponse().status)
"""
LATER = os.environ.get("LATER", "")


def connect() -> HTTPConnection:
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    return HTTPConnection(host, int(port))


def call(
    connection: HTTPConnection, method: str, path: str, body: bytes = b""
) -> tuple[HTTPResponse, bytes]:
    connection.request(method, f"/2018-06-01/runtime/{path}", body)
    response = connection.getresponse()
    return response, response.read()


def ask(connection: HTTPConnection, method: str, path: str, **headers: str) -> HTTPResponse:
    names = {f"Lambda-Extension-{name}": value for name, value in headers.items()}
    connection.request(method, EXTENSION + path, b'{"events":[]}', names)
    return connection.getresponse()


def register(*, ask_for_events: bool = True) -> None:
    """Register an extension, whose event/next waits in a thread."""
    connection = connect()
    response = ask(connection, "POST", "register", Name="mine")
    response.read()
    identifier = response.getheader("Lambda-Extension-Identifier", "")

    def wait() -> None:
        ask(connection, "GET", "event/next", Identifier=identifier)

    if ask_for_events:
        # SIGTERM must go to the main thread. After a stop, the kernel may deliver it to this
        # thread, and nothing would then wake the main thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=wait, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def leave(_: object, __: object) -> None:
    print("asked to end", flush=True)
    os._exit(0)


def handle(event: dict[str, object], request_id: str) -> object:
    match event.get("do"):
        case "raise":
            raise ValueError(event["text"])
        case "exit":
            sys.stdout.flush()
            os._exit(int(str(event["status"])))
        case "sleep":
            time.sleep(float(str(event["seconds"])))
        case "ask":
            # Another sandbox's Runtime API for an event.
            other = HTTPConnection(str(event["address"]))
            other.request("GET", "/2018-06-01/runtime/invocation/next")
            return {"status": other.getresponse().status}
        case "fifo":
            # Until the test has opened and closed the FIFO for writing.
            with open(str(event["path"])) as fifo:
                fifo.read()
        case "print":
            print(event["text"], end="\n" if event.get("line", True) else "", flush=True)
        case "child":
            child = subprocess.Popen(["sleep", "1000"])
            return {"pid": child.pid}
        case "daemon":
            # In its own session, with a parent that has ended.
            line = "sleep 1000 > /dev/null & echo $!"
            shell = subprocess.run(
                ["sh", "-c", line], stdout=subprocess.PIPE, start_new_session=True
            )
            return {"pid": int(shell.stdout)}
        case "call from a child":
            script = CALL.replace("PARENT", "0")
            command = [sys.executable, "-S", "-E", "-c", script]
            said = subprocess.run(
                command, stdout=subprocess.PIPE, start_new_session=bool(event["session"])
            )
            return {"status": int(said.stdout)}
        case "call later":
            # Calls once this process is dead, from its own session, with its output in a file.
            with open(LATER, "wb") as told:
                subprocess.Popen(
                    [sys.executable, "-S", "-E", "-c", CALL.replace("PARENT", str(os.getpid()))],
                    stdout=told,
                    start_new_session=True,
                )
        case "told later":
            while not os.path.getsize(LATER):
                time.sleep(0.01)
            with open(LATER) as told:
                return {"status": int(told.read())}
        case "environment":
            return dict(os.environ)
        case "size":
            return "x" * int(str(event["size"]))
    return {"event": event, "pid": os.getpid(), "id": request_id}


def stream(connection: HTTPConnection, request_id: str, event: dict[str, object]) -> None:
    """Stream `pieces` as a response; `fail` ends it with error trailers.

    With `until`, the second piece waits for the file of that path.
    """
    connection.putrequest("POST", f"/2018-06-01/runtime/invocation/{request_id}/response")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Content-Type", "text/x")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for number in range(int(str(event["pieces"]))):
        while number == 1 and "until" in event and not os.path.exists(str(event["until"])):
            time.sleep(0.001)
        piece = b"x" * int(str(event["size"]))
        connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        time.sleep(float(str(event.get("pause", 0))))
    connection.send(b"0\r\n")
    if "fail" in event:
        connection.send(b"Lambda-Runtime-Function-Error-Type: Function.Broke\r\n")
        connection.send(b"Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n")
    connection.send(b"\r\n")
    connection.getresponse().read()


def serve(connection: HTTPConnection) -> None:
    while True:
        response, body = call(connection, "GET", "invocation/next")
        request_id = response.getheader("Lambda-Runtime-Aws-Request-Id", "")
        try:
            event = json.loads(body)
            if event.get("do") == "headers":
                event["headers"] = {name.lower(): value for name, value in response.getheaders()}
            if event.get("do") == "print context":
                context = response.getheader("Lambda-Runtime-Client-Context", "")
                print("context:" + context, flush=True)
            if event.get("do") == "stream":
                stream(connection, request_id, event)
                continue
            answer = json.dumps(handle(event, request_id)).encode()
            call(connection, "POST", f"invocation/{request_id}/response", answer)
            if b"answer and exit" in body:
                return
            if event.get("do") == "stay":
                time.sleep(1000)
        except ValueError as error:
            answer = json.dumps({"errorMessage": str(error), "errorType": "ValueError"}).encode()
            call(connection, "POST", f"invocation/{request_id}/error", answer)


def main() -> None:
    connection = connect()
    match os.environ["_HANDLER"]:
        case "init.error":
            error = {"errorMessage": "broken", "errorType": "Runtime.Broken", "stackTrace": []}
            call(connection, "POST", "init/error", json.dumps(error).encode())
            sys.exit(1)
        case "init.exit":
            sys.exit(3)
        case "init.hang":
            print("hanging", flush=True)
            socket.create_connection((connection.host, connection.port)).recv(1)
        case "extension.leaves":
            signal.signal(signal.SIGTERM, leave)
            register()
        case "extension.stays":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            register()
        case "extension.asks_for_nothing":
            register(ask_for_events=False)
        case "restore.serves":
            idle = connect()
            idle.connect()
            print("ready for the snapshot", flush=True)
            call(connection, "GET", "restore/next")
            print("the idle connection is closed:", idle.sock.recv(1) == b"", flush=True)
            connection = connect()
        case "restore.fails":
            call(connection, "GET", "restore/next")
            connection.request(
                "POST", "/2018-06-01/runtime/restore/error", b"{}",
                {"Lambda-Runtime-Function-Error-Type": "Runtime.AfterRestoreError"},
            )  # fmt: skip
            connection.getresponse().read()
            sys.exit(65)
        case "restore.hangs":
            call(connection, "GET", "restore/next")
            time.sleep(1000)
        case "restore.exits":
            call(connection, "GET", "restore/next")
            sys.exit(3)
        case "alone":
            signal.signal(signal.SIGTERM, leave)
    for _ in range(int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1")) - 1):
        threading.Thread(target=serve, args=(connect(),), daemon=True).start()
    serve(connection)


if __name__ == "__main__":
    main()
