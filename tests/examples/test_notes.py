"""The FastAPI example: a lifespan, an actor and a stream."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.notes.app import WORDS, function
from okibi.local import FunctionSettings, open_local_lambda
from okibi.testing import RunningFunction, running, sample_event, virtual_time

FOLDER = Path(__file__).parents[2] / "examples" / "notes"
END = b"\0" * 8


def event(path: str, note: str | None = None, **options: Any) -> dict[str, Any]:
    """The event of a request; with a note, of one that adds it."""
    if note is not None:
        options |= {"method": "POST", "body": json.dumps({"text": note})}
    return sample_event("function-url", path=path, **options)


def read(streamed: bytes) -> tuple[int, Any]:
    """The status and the body of a streamed response."""
    prelude, _, body = streamed.partition(END)
    return json.loads(prelude)["statusCode"], json.loads(body)


async def send(app: RunningFunction, path: str, note: str | None = None) -> tuple[int, Any]:
    return read(await app.invoke(event(path, note)))


@virtual_time
async def test_a_note_is_kept_by_the_lifespan_s_database() -> None:
    async with running(function) as app:
        added = await send(app, "/notes", "buy tea")

        assert added == (201, {"number": 1, "text": "buy tea"})
        assert await send(app, "/notes/1") == (200, {"number": 1, "text": "buy tea"})
        assert await send(app, "/notes/2") == (404, {"detail": "there is no note 2"})


@virtual_time
async def test_an_actor_counts_the_words_of_notes() -> None:
    async with running(function) as app:
        await send(app, "/notes", "tea and more tea")

        assert await send(app, "/words") == (200, {"tea": 2, "and": 1, "more": 1})


@virtual_time
async def test_a_crash_of_the_actor_leaves_the_notes_alone() -> None:
    async with running(function) as app:
        await send(app, "/notes", "tea")
        await app.kill(WORDS)
        await app.wait_restarted(WORDS)

        assert await send(app, "/words") == (200, {})
        assert await send(app, "/notes/1") == (200, {"number": 1, "text": "tea"})


@virtual_time
async def test_a_file_s_lines_become_notes() -> None:
    request = httpx.Request(
        "PUT", "http://x/notes/upload", files={"file": ("notes.txt", b"tea\nmilk\n")}
    )
    upload = event(
        "/notes/upload",
        method="PUT",
        headers=dict(request.headers),
        body=request.read().decode(),
    )

    async with running(function) as app:
        _, notes = read(await app.invoke(upload))

    assert [note["text"] for note in notes] == ["tea", "milk"]


@pytest.mark.slow
async def test_the_feed_is_streamed_by_a_real_sandbox() -> None:
    settings = FunctionSettings("app.function", task_root=FOLDER, timeout=30)

    async with open_local_lambda(settings) as local:
        for text in ("tea", "milk"):
            await local.invoke(json.dumps(event("/notes", text)).encode())
        async with local.stream(json.dumps(event("/feed")).encode()) as answer:
            parts = b"".join([part async for part in answer])
        starts = local.starts

    assert parts.partition(END)[2] == b"id: 1\ndata: tea\n\nid: 2\ndata: milk\n\n"
    assert starts == 1
