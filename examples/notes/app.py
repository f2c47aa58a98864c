"""Keeps notes: a FastAPI application with a lifespan, an actor and a stream.

`okibi dev notes` serves it. Each sandbox has its own database in memory; a service that keeps its
notes opens a connection to a real one in `lifespan`.
"""

import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

import attrs
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from okibi import Child, Function, Name, Server
from okibi.actors import from_sync
from okibi.runtime import from_asyncio
from okibi.web import ASGI


@attrs.define(eq=False)
class Words(Server):
    """Counts the words of all notes. Its counts outlive time-outs of requests."""

    counts: Counter[str] = attrs.field(factory=Counter[str])

    async def add(self, text: str) -> None:
        self.counts.update(text.lower().split())

    async def most_common(self, number: int) -> dict[str, int]:
        return dict(self.counts.most_common(number))


WORDS = Name("words", Words)


class State(TypedDict):
    """What the lifespan gives to all requests of the sandbox."""

    database: sqlite3.Connection


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Open the database once a sandbox, and close it at the sandbox's end."""
    # The routes that are a plain `def` run in threads.
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute("create table notes (number integer primary key, text text not null)")
    yield {"database": database}
    database.close()


app = FastAPI(lifespan=lifespan)


def open_transaction(request: Request) -> Iterator[sqlite3.Connection]:
    """Yield the database; commit after the route, or roll back if the route has raised."""
    database: sqlite3.Connection = request.state.database
    with database:
        yield database


# With this scope FastAPI commits before it answers.
Database = Annotated[sqlite3.Connection, Depends(open_transaction, scope="function")]


class NewNote(BaseModel):
    """The body of a request that adds a note."""

    text: str


class Note(NewNote):
    """A note with its number."""

    number: int


def insert(database: sqlite3.Connection, text: str) -> Note:
    """Insert a note."""
    number = database.execute("insert into notes (text) values (?)", [text]).lastrowid
    assert number is not None  # an insert has given the note its number
    return Note(number=number, text=text)


async def count_words(text: str) -> None:
    """Count the words of a note. Runs after the answer."""
    await from_asyncio.call(WORDS, Words.add, text)


@app.post("/notes", status_code=201)
def add_note(note: NewNote, database: Database, background: BackgroundTasks) -> Note:
    """Add a note; count its words after the answer."""
    background.add_task(count_words, note.text)
    return insert(database, note.text)


@app.put("/notes/upload", status_code=201)
async def upload(file: UploadFile, request: Request) -> list[Note]:
    """Add each line of a file as a note."""
    lines = (await file.read()).decode().splitlines()
    for line in lines:
        await count_words(line)
    return [insert(request.state.database, line) for line in lines]


@app.get("/notes/{number}")
def read_note(number: int, database: Database) -> Note:
    """Return a note."""
    row = database.execute("select text from notes where number = ?", [number]).fetchone()
    if row is None:
        raise HTTPException(404, f"there is no note {number}")
    return Note(number=number, text=row[0])


@app.get("/words")
def read_words() -> dict[str, int]:
    """Return the three words that most notes have. Runs in a thread, as each plain `def`."""
    return from_sync.call(WORDS, Words.most_common, 3)


@app.get("/feed")
def read_feed(request: Request) -> StreamingResponse:
    """Send each note as a server-sent event, one after the other."""
    rows = request.state.database.execute("select number, text from notes order by number")
    events = (f"id: {number}\ndata: {text}\n\n" for number, text in rows)
    return StreamingResponse(events, media_type="text/event-stream")


# A function URL that streams, as in pyproject.toml beside this file.
function = Function(handler=ASGI(app, streams=True), children=[Child(Words, name=WORDS)])
