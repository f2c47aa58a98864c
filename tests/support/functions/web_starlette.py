"""A Starlette application."""

import anyio.lowlevel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route


async def note(request):
    return JSONResponse(
        {
            "name": request.path_params["name"],
            "query": request.query_params.multi_items(),
            "url": str(request.url_for("note", name="a b")),
            "client": request.client.host,
            "cookies": request.cookies,
        }
    )


async def echo(request):
    return Response(await request.body(), media_type=request.headers["content-type"])


async def upload(request):
    async with request.form() as form:
        sent = form["file"]
        data = await sent.read()
        return JSONResponse({"name": sent.filename, "size": len(data), "title": form["title"]})


def cookies(request):
    response = RedirectResponse("/notes/next", 302)
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", path="/notes")
    return response


async def stream(request):
    async def parts():
        for number in range(3):
            yield f"line {number}\n"
            await anyio.lowlevel.checkpoint()

    return StreamingResponse(parts(), media_type="text/plain")


async def empty(request):
    return Response(status_code=204)


async def fail(request):
    raise ValueError("the route failed")


app = Starlette(
    routes=[
        Route("/notes/{name}", note),
        Route("/echo", echo, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        *(Route(f"/{route.__name__}", route) for route in (cookies, stream, empty, fail)),
    ]
)
