"""A Litestar application."""

from contextlib import asynccontextmanager

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import Cookie, UploadFile
from litestar.response import Redirect, Stream


@get("/notes/{name:str}", name="note")
async def note(request: Request) -> dict:
    return {
        "name": request.path_params["name"],
        "query": request.query_params.multi_items(),
        "url": str(request.url_for("note", name="next")),
        "client": request.client.host,
        "cookies": request.cookies,
        "state": request.app.state.pool,
    }


@post("/echo", status_code=200)
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers["content-type"])


@post("/upload")
async def upload(request: Request) -> dict:
    form = await request.form()
    sent: UploadFile = form["file"]
    data = await sent.read()
    await sent.close()
    return {"name": sent.filename, "size": len(data), "title": form["title"]}


@get("/cookies", status_code=302)
async def cookies() -> Redirect:
    both = [Cookie("a", value="1"), Cookie("b", value="2", path="/notes")]
    return Redirect("/notes/next", cookies=both)


@get("/stream")
async def stream() -> Stream:
    async def parts():
        for number in range(3):
            yield f"line {number}\n"

    return Stream(parts(), media_type="text/plain")


@get("/empty", status_code=204)
async def empty() -> None:
    return None


@get("/fail", sync_to_thread=True)
def fail() -> str:
    raise ValueError("the route failed")


@asynccontextmanager
async def live(app):
    app.state.pool = "ten connections"
    yield


app = Litestar([note, echo, upload, cookies, stream, empty, fail], lifespan=[live])
