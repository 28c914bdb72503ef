"""The client of serve_grpc.py, which reads every value: read_grpc.py ADDRESS SQL rows|batches"""

import sys

import grpc
import rows_pb2
import rows_pb2_grpc
import uvloop

from clock import Clock


def read(row):
    return [getattr(value, value.WhichOneof("kind") or "text") for value in row.values]


async def main(address, sql, form):
    async with grpc.aio.insecure_channel(address) as channel:
        stub = rows_pb2_grpc.ReaderStub(channel)
        # A warm-up, as every service gets.
        async for _ in stub.ReadRows(rows_pb2.Query(sql="select 1"), wait_for_ready=True, timeout=60):
            pass
    clock, rows = Clock(), 0
    async with grpc.aio.insecure_channel(address) as channel:
        stub = rows_pb2_grpc.ReaderStub(channel)
        if form == "rows":
            async for row in stub.ReadRows(rows_pb2.Query(sql=sql)):
                clock.first()
                read(row)
                rows += 1
        else:
            async for batch in stub.ReadBatches(rows_pb2.Query(sql=sql)):
                clock.first()
                for row in batch.rows:
                    read(row)
                rows += len(batch.rows)
    clock.tell(rows)


uvloop.run(main(*sys.argv[1:]))
