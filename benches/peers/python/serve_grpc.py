"""A service by hand: grpc.aio in front of an asyncpg cursor, on uvloop. serve_grpc.py ADDRESS DATABASE_URL"""

import asyncio
import signal
import sys

import asyncpg
import grpc
import rows_pb2
import rows_pb2_grpc
import uvloop

FETCH = 1_000


def message(record):
    return rows_pb2.Row(values=[value(item) for item in record])


def value(item):
    match item:
        case None:
            return rows_pb2.Value()
        case int():
            return rows_pb2.Value(int64=item)
        case float():
            return rows_pb2.Value(double=item)
        case list():
            return rows_pb2.Value(list=rows_pb2.List(values=[value(element) for element in item]))
    return rows_pb2.Value(text=str(item))


class Reader(rows_pb2_grpc.ReaderServicer):
    def __init__(self, pool):
        self._pool = pool

    async def ReadRows(self, request, context):
        async with self._pool.acquire() as database, database.transaction():
            async for record in database.cursor(request.sql, prefetch=FETCH):
                yield message(record)

    async def ReadBatches(self, request, context):
        async with self._pool.acquire() as database, database.transaction():
            cursor = await database.cursor(request.sql)
            while records := await cursor.fetch(FETCH):
                yield rows_pb2.Batch(rows=[message(record) for record in records])


async def main(address, url):
    async with asyncpg.create_pool(url, min_size=1, max_size=10) as pool:
        server = grpc.aio.server()
        rows_pb2_grpc.add_ReaderServicer_to_server(Reader(pool), server)
        if not server.add_insecure_port(address):
            raise OSError(f"cannot listen on {address}")
        await server.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(server.stop(1)))
        await server.wait_for_termination()


uvloop.run(main(*sys.argv[1:]))
