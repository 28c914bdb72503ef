"""The peer's server: grpc.aio in front of asyncpg, as one would write it by hand.

    server.py ADDRESS DATABASE_URL POOL LOOP

LOOP is asyncio or uvloop. Ends with SIGTERM.
"""

import asyncio
import signal
import sys

import asyncpg
import grpc
import select_one_pb2
import select_one_pb2_grpc

from loops import run


class SelectOne(select_one_pb2_grpc.SelectOneServicer):
    def __init__(self, pool):
        self._pool = pool

    async def Run(self, request, context):
        async with self._pool.acquire() as connection:
            # asyncpg keeps the prepared statement.
            return select_one_pb2.Row(value=await connection.fetchval(request.sql))


async def main(address, database_url, pool):
    async with asyncpg.create_pool(database_url, min_size=pool, max_size=pool) as connections:
        server = grpc.aio.server()
        select_one_pb2_grpc.add_SelectOneServicer_to_server(SelectOne(connections), server)
        if not server.add_insecure_port(address):
            raise OSError(f"cannot listen on {address}")
        await server.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(server.stop(1)))
        await server.wait_for_termination()


if __name__ == "__main__":
    run(sys.argv[4], main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
