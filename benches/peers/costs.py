"""What a measurement cost: processor time and memory of the database, the server and the client, from /proc.

The database is the whole cluster: a connection that has ended is in its postmaster's sums. Its memory is what its
backends have for themselves; the buffers that they share are the same for every reader.
"""

import pathlib
import threading

PROC = pathlib.Path("/proc")
TICKS_PER_SECOND = 100
EVERY_SECONDS = 0.05


def cpu_seconds(pid, with_ended_children=False):
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    own = int(fields[11]) + int(fields[12])
    ended = int(fields[13]) + int(fields[14]) if with_ended_children else 0
    return (own + ended) / TICKS_PER_SECOND


def memory_kib(pid, what):
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1])
    return 0


def children(pid):
    return [int(child) for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]


def cluster_cpu_seconds(postmaster):
    while True:
        before = children(postmaster)
        try:
            total = cpu_seconds(postmaster, with_ended_children=True) + sum(map(cpu_seconds, before))
        except (FileNotFoundError, ProcessLookupError):
            continue
        # One that ended in between is counted twice or not at all: again.
        if children(postmaster) == before:
            return total


def backends(postmaster):
    """Those that work for a client."""
    for child in children(postmaster):
        try:
            title = (PROC / str(child) / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"127.0.0.1(" in title or b"parallel worker" in title:
            yield child


class Watch:
    """Looks at memory while a block runs: the backends' in sum, and the client's if it cannot tell itself."""

    def __init__(self, postmaster, client):
        self._postmaster, self._client = postmaster, client
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.database_kib = self.client_kib = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self):
        while True:
            now = 0
            for pid in backends(self._postmaster):
                now += self._look(pid, "RssAnon:")
            self.database_kib = max(self.database_kib, now)
            self.client_kib = max(self.client_kib, self._look(self._client, "VmHWM:"))
            if self._end.wait(EVERY_SECONDS):
                return

    @staticmethod
    def _look(pid, what):
        try:
            return memory_kib(pid, what)
        except (FileNotFoundError, ProcessLookupError):
            return 0
