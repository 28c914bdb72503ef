"""The client of serve_http.py, which parses every row: read_http.py ADDRESS SQL 0|1"""

import asyncio
import sys

import aiohttp
import orjson
import uvloop

from clock import Clock


async def until_served(address):
    for _ in range(600):
        try:
            async with aiohttp.ClientSession() as session:
                # A warm-up, as every service gets.
                async with session.get(f"http://{address}/rows", params={"sql": "select 1"}) as response:
                    response.raise_for_status()
                    await response.read()
                    return
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.1)
    raise TimeoutError(f"nobody serves at {address}")


async def main(address, sql, batch):
    await until_served(address)
    clock, rows = Clock(), 0
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"http://{address}/rows", params={"sql": sql, "batch": batch}) as response:
            response.raise_for_status()
            async for line in response.content:
                clock.first()
                orjson.loads(line)
                rows += 1
    clock.tell(rows)


uvloop.run(main(*sys.argv[1:]))
