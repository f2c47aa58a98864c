"""A guest book: a Flask application with a form, a template and a session, without a line of okibi.

`okibi dev app.app` serves it. Each sandbox keeps its own entries in a file below `/tmp`. A guest
book whose entries last needs a database outside the sandbox.
"""

import os
import sqlite3
from pathlib import Path
from tempfile import mkdtemp

from flask import Flask, g, redirect, render_template_string, request, session, url_for
from werkzeug.wrappers import Response

DATABASE = Path(mkdtemp(), "guestbook.db")
PAGE = """\
<!doctype html>
<title>Guest book</title>
<ul>{% for name, text in entries %}<li><b>{{ name }}</b>: {{ text }}</li>{% endfor %}</ul>
<form method="post">
  <input name="name" value="{{ name }}"><input name="text"><button>Sign</button>
</form>
"""

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "for your machine only")

with sqlite3.connect(DATABASE) as new:
    new.execute("create table entries (name text not null, text text not null)")


def open_database() -> sqlite3.Connection:
    """Return the connection of this request."""
    if "database" not in g:
        g.database = sqlite3.connect(DATABASE)
    database: sqlite3.Connection = g.database
    return database


@app.teardown_appcontext
def close_database(error: BaseException | None) -> None:
    """Close the connection of this request."""
    if "database" in g:
        g.pop("database").close()


@app.get("/")
def read_entries() -> str:
    """Show all entries, and a form with the name of the last time."""
    entries = open_database().execute("select name, text from entries").fetchall()
    return render_template_string(PAGE, entries=entries, name=session.get("name", ""))


@app.post("/")
def sign() -> Response:
    """Add an entry, and keep the name in a cookie."""
    session["name"] = name = request.form["name"]
    with open_database() as database:
        database.execute("insert into entries values (?, ?)", [name, request.form["text"]])
    return redirect(url_for("read_entries"), code=303)
