"""A FastAPI application, served by okibi (`app`) and by Mangum (`handler`)."""

from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()


@app.get("/items/{item}")
async def item(item: int, q: str = "") -> dict[str, object]:
    return {"item": item, "q": q}


handler = Mangum(app, lifespan="off")
