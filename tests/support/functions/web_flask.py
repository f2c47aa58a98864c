"""A Flask application, and the function that serves the application."""

import threading
import time

from flask import Flask, Response, redirect, request

from okibi.web import WSGI

app = Flask(__name__)
meeting = threading.Barrier(16)


@app.get("/notes/<name>")
def note(name):
    return {
        "name": name,
        "query": request.args.to_dict(flat=False),
        "url": request.base_url,
        "root": request.script_root,
        "client": request.remote_addr,
        "cookies": dict(request.cookies),
    }


@app.post("/echo")
def echo():
    return Response(request.get_data(), mimetype=request.mimetype)


@app.post("/upload")
def upload():
    sent = request.files["file"]
    return {"name": sent.filename, "size": len(sent.read()), "title": request.form["title"]}


@app.get("/cookies")
def cookies():
    response = redirect("/notes/next")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", path="/notes")
    return response


@app.get("/stream")
def stream():
    return Response((f"line {number}\n" for number in range(3)), mimetype="text/plain")


@app.get("/empty")
def empty():
    return "", 204


@app.get("/fail")
def fail():
    raise ValueError("the view failed")


@app.get("/late")
def late():
    time.sleep(60)


@app.get("/meet")
def meet():
    """Answer when 16 requests are here at once."""
    meeting.wait(30)
    return request.args["number"]


handler = WSGI(app)
