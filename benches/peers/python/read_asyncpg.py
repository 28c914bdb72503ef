"""asyncpg, on uvloop: read_asyncpg.py DATABASE_URL SQL PREFETCH

By a cursor that fetches PREFETCH rows at a time; 0 fetches all rows at once, into a list.
"""

import sys

import asyncpg
import uvloop

from clock import Clock


async def main(url, sql, prefetch):
    clock, rows = Clock(), 0
    database = await asyncpg.connect(url)
    if prefetch == 0:
        rows = len(await database.fetch(sql))
        clock.first()
    else:
        async with database.transaction():
            async for _ in database.cursor(sql, prefetch=prefetch):
                clock.first()
                rows += 1
    await database.close()
    clock.tell(rows)


uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
