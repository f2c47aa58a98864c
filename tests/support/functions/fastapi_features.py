"""A FastAPI application that uses what FastAPI and Starlette have. Runs on asyncio and on trio."""

import hashlib
import json
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import anyio.lowlevel
import anyio.to_thread
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
    UploadFile,
    WebSocket,
)
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Route

FOLDER = Path(__file__).parent
CALLER: ContextVar[str] = ContextVar("caller", default="nobody")
COLOUR: ContextVar[str] = ContextVar("colour", default="none")


class Refused(Exception):
    """An error for which the application has a handler."""


class Note(BaseModel):
    title: str = Field(max_length=20)
    tags: list[str] = []
    price: float | None = None


class NameCaller:
    """Pure ASGI middleware: sets a context variable, and a header of the response."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def named(message):
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"x-caller", CALLER.get().encode())]
                message = {**message, "headers": headers}
            await send(message)

        token = CALLER.set(dict(scope["headers"]).get(b"x-name", b"nobody").decode("latin-1"))
        try:
            await self.app(scope, receive, named)
        finally:
            CALLER.reset(token)


async def choose_colour(request, call_next):
    """A function of BaseHTTPMiddleware, which calls the application in a task of its own."""
    COLOUR.set(request.query_params.get("colour", "none"))
    request.state.steps = ["middleware"]
    response = await call_next(request)
    response.headers["x-path"] = request.url.path.encode().hex()
    return response


# -- dependencies


async def open_session(request: Request):
    request.state.steps.append("session opened")
    try:
        yield request.app.state.sessions
    except Refused:
        request.app.state.rolled_back += 1
        raise
    finally:
        request.app.state.sessions += 1


def open_in_thread(caller: Annotated[str, Header(alias="x-name")] = "nobody"):
    yield f"{caller} in a thread"


def count_pages(page: int = 1, size: Annotated[int, Query(le=100)] = 10):
    return {"page": page, "size": size}


Session = Annotated[int, Depends(open_session)]
Pages = Annotated[dict, Depends(count_pages)]

# -- routes

notes = APIRouter(prefix="/notes", tags=["notes"])


@notes.get("")
async def list_notes(session: Session, pages: Pages, tag: Annotated[list[str], Query()] = ()):
    return {"tags": list(tag), "pages": pages}


@notes.post("", status_code=201, response_model=Note, response_model_exclude_unset=True)
async def add_note(note: Note, response: Response):
    response.headers["location"] = f"/notes/{quote(note.title)}"
    return note


@notes.get("/{note_id}", name="read_note")
def read_note(note_id: int, request: Request, thread: Annotated[str, Depends(open_in_thread)]):
    return {
        "id": note_id,
        "thread": thread,
        "caller": CALLER.get(),
        "colour": COLOUR.get(),
        "url": str(request.url_for("read_note", note_id=note_id + 1)),
    }


@notes.put("/{note_id}")
async def replace_note(note_id: int, note: Note):
    return {"id": note_id, "note": note}


@notes.patch("/{note_id}")
async def change_note(note_id: int, note: Note):
    return note.model_dump(exclude_unset=True)


@notes.delete("/{note_id}", status_code=204)
async def delete_note(note_id: int):
    return None


@notes.post("/{note_id}/refused")
async def refuse_note(note_id: int, session: Session):
    raise Refused(f"note {note_id}")


@asynccontextmanager
async def live(app):
    app.state.sessions = app.state.rolled_back = 0
    app.state.mailed = []
    app.state.all_mailed = anyio.Event()
    yield {"pool": "ten connections"}


app = FastAPI(title="Features", lifespan=live)
app.add_middleware(GZipMiddleware, minimum_size=2000)
app.add_middleware(BaseHTTPMiddleware, dispatch=choose_colour)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["https://shop.example"],
    allow_credentials=True,
    allow_methods=["GET", "PUT"],
    expose_headers=["x-caller"],
)
app.add_middleware(NameCaller)
app.include_router(notes)
app.include_router(notes, prefix="/v2")
app.mount("/static", StaticFiles(directory=FOLDER), name="static")


@app.get("/")
async def hello():
    return {"hello": "world"}


@app.get("/pool")
@app.head("/pool", include_in_schema=False)
async def pool(request: Request):
    return {"pool": request.state.pool, "steps": request.state.steps}


@app.get("/context")
async def context():
    async def ask_colour():
        found.append(COLOUR.get())

    found = [CALLER.get()]
    async with anyio.create_task_group() as group:
        group.start_soon(ask_colour)
    return [*found, await anyio.to_thread.run_sync(COLOUR.get)]


@app.get("/request")
async def describe(request: Request):
    return {
        "client": request.client and request.client.host,
        "url": str(request.url),
        "base": str(request.base_url),
        "query": request.query_params.multi_items(),
        "path": request.scope["path"],
        "version": request.scope["http_version"],
        "agent": request.headers.getlist("user-agent"),
        "static": str(request.url_for("static", path="a b.txt")),
    }


@app.get("/files/{path:path}")
async def file_path(path: str, request: Request):
    return {"path": path, "raw": request.scope["raw_path"].decode()}


@app.get("/names/{name}/{kind}")
async def name(name: str, kind: Literal["short", "long"]):
    return {"name": name, "kind": kind}


@app.get("/cookies")
async def cookies(request: Request, response: Response, a: Annotated[str, Cookie()] = ""):
    for number in range(3):
        response.set_cookie(f"c{number}", f"v {number}", max_age=60, httponly=True)
    response.set_cookie("old", max_age=0)
    return {"a": a, "all": request.cookies}


@app.get("/lines")
async def lines():
    response = PlainTextResponse("lines")
    for value in ("accept", "cookie"):
        response.headers.append("vary", value)
    for value in ('<a>; rel="next"', '<b>; rel="last"'):
        response.headers.append("link", value)
    response.headers["server"] = "features"
    return response


@app.post("/form")
async def form(name: Annotated[str, Form()], ages: Annotated[list[int], Form()]):
    return {"name": name, "ages": ages}


@app.post("/upload")
async def upload(
    note: Annotated[str, Form()], file: UploadFile, more: Annotated[bytes, File()] = b""
):
    data = await file.read()
    return {
        "note": note,
        "name": file.filename,
        "type": file.content_type,
        "size": len(data),
        "hash": hashlib.sha256(data).hexdigest(),
        "more": more.hex(),
    }


@app.post("/body")
async def body(request: Request):
    whole, parts = hashlib.sha256(), 0
    async for part in request.stream():
        whole.update(part)
        parts += len(part)
    return {"size": parts, "hash": whole.hexdigest(), "type": request.headers.get("content-type")}


@app.post("/bytes")
async def reverse_bytes(request: Request):
    return Response((await request.body())[::-1], media_type="application/octet-stream")


@app.get("/stream")
async def stream(request: Request):
    async def parts():
        for number in range(5):
            yield f"part {number}, {request.state.pool}\n"
            await anyio.lowlevel.checkpoint()

    return StreamingResponse(parts(), media_type="text/plain")


@app.get("/stream-in-thread")
def stream_in_thread():
    return StreamingResponse(iter([b"a" * 10, b"\xff" * 10]), media_type="image/x-own")


@app.get("/events")
async def events():
    async def parts():
        for number in range(3):
            yield f"id: {number}\ndata: {json.dumps({'number': number})}\n\n"

    return StreamingResponse(parts(), media_type="text/event-stream")


@app.get("/large")
async def large(size: int):
    return PlainTextResponse("x" * size)


@app.get("/binary")
async def binary():
    return Response(bytes(range(256)), media_type="image/png")


@app.get("/empty")
async def empty():
    return Response()


@app.get("/teapot")
async def teapot():
    raise HTTPException(418, detail={"short": True}, headers={"x-pot": "stout"})


@app.get("/refused")
async def refused():
    raise Refused("no entry")


@app.get("/broken")
async def broken():
    raise LookupError("a mistake")


@app.exception_handler(Refused)
async def answer_refused(request: Request, error: Refused):
    return JSONResponse({"refused": str(error)}, 403)


@app.get("/rolled-back")
async def rolled_back(request: Request):
    return request.app.state.rolled_back


@app.get("/secret")
async def secret(credentials: Annotated[HTTPBasicCredentials, Security(HTTPBasic())]):
    return credentials.username


@app.get("/redirect")
async def redirect():
    return RedirectResponse("/names/ä b/short")


@app.get("/redirect-back")
async def redirect_back(request: Request):
    return RedirectResponse(request.url_for("read_note", note_id=1), 303)


@app.get("/page", response_class=HTMLResponse)
async def page():
    return "<p>Grüße"


@app.get("/file")
async def file():
    return FileResponse(FOLDER / "web_page.html", filename="grüße.html")


@app.get("/not-modified")
async def not_modified():
    return Response(status_code=304, headers={"etag": '"1"'})


@app.post("/mail")
async def mail(tasks: BackgroundTasks, request: Request):
    async def send(to):
        await anyio.lowlevel.checkpoint()
        request.app.state.mailed.append(to)

    def send_in_thread(to):
        request.app.state.mailed.append(f"{to} in a thread")

    async def finish():
        request.app.state.all_mailed.set()

    tasks.add_task(send, "bob")
    tasks.add_task(send_in_thread, "alice")
    tasks.add_task(finish)
    return "mailing"


@app.get("/mailed")
async def mailed(request: Request):
    await request.app.state.all_mailed.wait()
    return request.app.state.mailed


@app.websocket("/socket")
async def socket(connection: WebSocket):
    await connection.accept()


# -- applications within the application


async def inner_page(request):
    return JSONResponse(
        {
            "root": request.scope["root_path"],
            "url": str(request.url),
            "link": str(request.url_for("inner_page", name="x")),
            "name": request.path_params["name"],
        }
    )


inner = Starlette(routes=[Route("/page/{name}", inner_page)])
admin = FastAPI(title="Admin")


@admin.get("/who")
def who(request: Request):
    return {"root": request.scope["root_path"], "caller": CALLER.get()}


app.mount("/inner", inner)
app.mount("/admin", admin)
