"""Small calls, ours beside the peer's: server against server, each with its own client, in turns.

    compare.py PROGRAMS [--calls N] [--at-once N] [--pool N] [--rounds N]

PROGRAMS is the folder of the release build. Both servers run all the time and read from the same PostgreSQL; only one
of them is called at a time. Prints each round, and the medians.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys

from loops import LOOPS
from programs import free_port, postgres

HERE = pathlib.Path(__file__).parent
TICKS_PER_SECOND = 100


class Contender:
    """A server that runs, and how its client is called."""

    def __init__(self, name, server, client):
        self.name = name
        self._server = server
        self._client = [str(word) for word in client]
        self.rounds = []

    def run(self, calls, at_once):
        before = cpu_seconds(self._server.pid)
        command = [word.format(calls=calls, at_once=at_once) for word in self._client]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        measured = json.loads(done.stdout)
        # The server's time covers the warm-up as well, which is the same for all.
        server_cpu = cpu_seconds(self._server.pid) - before
        self.rounds.append((calls / measured["seconds"], measured["cpu_seconds"], server_cpu))
        print(f"  {self.name:<28}{self.describe(self.rounds[-1])}", flush=True)

    def median(self):
        return tuple(statistics.median(column) for column in zip(*self.rounds))

    @staticmethod
    def describe(figures):
        rate, client, server = figures
        return f"{rate:>9,.0f} calls/s   CPU: client {client:6.2f} s, server {server:6.2f} s"


def cpu_seconds(pid):
    """Processor time of a process and of its threads so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


@contextlib.contextmanager
def process(command):
    running = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(timeout=60)


def contenders(programs, database_url, pool, stack):
    address = f"127.0.0.1:{free_port()}"
    command = [programs / "rowstream-server", "--database-url", database_url, "--listen", address, "--allow-sql"]
    ours = stack.enter_context(process([*command, "--pool-max", pool]))
    client = [programs / "examples" / "peers", f"http://{address}", "{calls}", "{at_once}"]
    yield Contender("rowstream", ours, client)
    for loop in LOOPS:
        address = f"127.0.0.1:{free_port()}"
        theirs = stack.enter_context(process([sys.executable, HERE / "server.py", address, database_url, pool, loop]))
        client = [sys.executable, HERE / "client.py", address, "{calls}", "{at_once}", loop]
        yield Contender(f"grpc.aio + asyncpg, {loop}", theirs, client)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--pool", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgres(options.programs / "examples" / "postgres"))
        running = list(contenders(options.programs, url, options.pool, stack))
        print(f"{options.calls:,} calls of select 1, {options.at_once} at once, a pool of {options.pool}")
        for number in range(options.rounds):
            print(f"round {number + 1}")
            for contender in running:
                contender.run(options.calls, options.at_once)
    print("median")
    for contender in running:
        print(f"  {contender.name:<28}{contender.describe(contender.median())}")
    ours, *theirs = (contender.median()[0] for contender in running)
    print(f"rowstream makes {ours / max(theirs):.1f} times as many calls a second as the faster of the peers")


if __name__ == "__main__":
    main()
