"""A FastAPI application, served by `web_table_mangum` and by okibi."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, list[str]]]:
    yield {"notes": []}


app = FastAPI(lifespan=lifespan)


@app.post("/notes", status_code=201)
async def add(request: Request) -> int:
    request.state.notes.append("a note")
    return os.getpid()


@app.get("/notes")
async def read(request: Request) -> int:
    if not request.state.notes:
        raise HTTPException(404)
    return os.getpid()


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


async def wait_for(go: str) -> None:
    while not Path(go).exists():  # noqa: ASYNC110, ASYNC240, of the test
        await asyncio.sleep(0.005)


@app.get("/stream")
async def stream(go: str) -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        yield "first"
        await wait_for(go)
        yield "second"

    return StreamingResponse(parts(), media_type="text/plain")


@app.get("/work")
async def work(go: str, tasks: BackgroundTasks) -> int:
    tasks.add_task(wait_for, go)
    return os.getpid()


@app.get("/late")
async def late() -> None:
    await asyncio.sleep(60)


@app.get("/crash")
async def crash() -> None:
    raise LookupError("no note")


@app.get("/exit")
async def leave() -> None:
    sys.exit(1)
