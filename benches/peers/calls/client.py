"""The peer's load: so many calls by so many callers at once, over one channel. Prints one line of JSON.

    client.py ADDRESS CALLS AT_ONCE LOOP

Each caller makes the next call when it has the answer to the one before, as a permit of the fan-out is taken again
when a call has ended. The first calls warm up and are not counted: as many as the callers, ten times.
"""

import asyncio
import json
import resource
import sys
import time

import grpc
import select_one_pb2
import select_one_pb2_grpc

from loops import run


async def main(address, calls, at_once):
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        stub = select_one_pb2_grpc.SelectOneStub(channel)
        await load(stub, at_once * 10, at_once)
        cpu, start = cpu_seconds(), time.perf_counter()
        await load(stub, calls, at_once)
        return {"seconds": time.perf_counter() - start, "cpu_seconds": cpu_seconds() - cpu}


async def load(stub, calls, at_once):
    numbers = iter(range(calls))
    request = select_one_pb2.Request(sql="select 1")

    async def caller():
        for _ in numbers:
            row = await stub.Run(request)
            assert row.value == 1

    await asyncio.gather(*(caller() for _ in range(at_once)))


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[4], main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
