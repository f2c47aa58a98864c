"""An application of Quart, which runs on asyncio, and the same one of quart-trio."""

from quart import Quart, Response, redirect, request, url_for
from quart_trio import QuartTrio


async def note(name):
    return {
        "name": name,
        "query": request.args.to_dict(flat=False),
        "url": url_for("note", name="a b", _external=True),
        "client": request.remote_addr,
        "cookies": dict(request.cookies),
    }


async def echo():
    return Response(await request.get_data(), mimetype=request.mimetype)


async def upload():
    sent, fields = (await request.files)["file"], await request.form
    data = sent.read()
    sent.close()
    return {"name": sent.filename, "size": len(data), "title": fields["title"]}


async def cookies():
    response = redirect("/notes/next")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", path="/notes")
    return response


async def stream():
    async def parts():
        for number in range(3):
            yield f"line {number}\n"

    return Response(parts(), mimetype="text/plain")


async def empty():
    return "", 204


async def fail():
    raise ValueError("the route failed")


def build(kind):
    application = kind(__name__)
    application.route("/notes/<name>")(note)
    for route in (echo, upload):
        application.route(f"/{route.__name__}", methods=["POST"])(route)
    for route in (cookies, stream, empty, fail):
        application.route(f"/{route.__name__}")(route)
    return application


app, on_trio = build(Quart), build(QuartTrio)
