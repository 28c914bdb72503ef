"""A service by hand: FastAPI, NDJSON from an asyncpg cursor, on uvloop. serve_http.py ADDRESS DATABASE_URL

GET /rows?sql=... answers a row a chunk, with &batch=1 a thousand rows a chunk.
"""

import contextlib
import sys

import asyncpg
import orjson
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

FETCH = 1_000
address, url = sys.argv[1:]


@contextlib.asynccontextmanager
async def lifespan(app):
    async with asyncpg.create_pool(url, min_size=1, max_size=10) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


def line(record):
    return orjson.dumps(dict(record), default=str) + b"\n"


@app.get("/rows")
async def rows(sql: str, batch: bool = False):
    async def lines():
        async with app.state.pool.acquire() as database, database.transaction():
            if batch:
                cursor = await database.cursor(sql)
                while records := await cursor.fetch(FETCH):
                    yield b"".join(map(line, records))
            else:
                async for record in database.cursor(sql, prefetch=FETCH):
                    yield line(record)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


host, port = address.split(":")
uvicorn.run(app, host=host, port=int(port), loop="uvloop", http="httptools", log_level="warning")
