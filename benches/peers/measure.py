"""One measurement: one reader, once, in a process of its own, with a server of its own where it needs one."""

import contextlib
import json
import pathlib
import subprocess
import tempfile
import time

import costs
import processes
from contenders import BASE, Setting, our_server, ours

WARM_UP = "select 1"


class Bench:
    """What all measurements share."""

    def __init__(self, database, programs, environment, seconds, rows):
        self._database, self._programs, self._environment = database, programs, environment
        self._seconds, self._rows = seconds, rows

    def read(self, contender, table):
        """Has a reader read a table, and gives what that took."""
        limits = [rows for rows in (contender.limit, self._rows) if rows]
        setting = self._setting(table, min(limits, default=None))
        return self._measure(setting, contender.client, contender.server)

    def streams(self, encoding, count, rows):
        """Reads so many rows by each of so many streams at once, in one client."""
        setting = self._setting("lineitem", rows)
        reader = ours(encoding, "auto")
        room = count + 8
        return self._measure(
            setting,
            lambda s: [*reader(s), "--streams", count],
            lambda s: our_server(s, "--pool-max", room, "--max-streams", room, "--max-connection-streams", room),
        )

    def _setting(self, table, rows):
        sql = f"select * from {table}" + (f" limit {rows}" if rows else "")
        return Setting(self._programs, self._database["psql"], self._database["url"], sql, table)

    def _measure(self, setting, client, server):
        with contextlib.ExitStack() as stack:
            pid, scratch = None, pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
            setting.out = scratch / "warm-up"
            if server:
                setting.address = processes.free_address()
                pid = stack.enter_context(processes.server(server(setting), self._environment))
                # As long as a service runs, starting is no part of its cost; and it has its connections.
                asked, setting.sql = setting.sql, WARM_UP
                self._run(client(setting))
                setting.sql = asked
            setting.out = scratch / "out"
            before = costs.cpu_seconds(pid) if pid else 0
            result = self._run(client(setting))
            if pid:
                result["cpu_seconds"]["server"] = costs.cpu_seconds(pid) - before
                result["peak_kib"]["server"] = costs.memory_kib(pid, "VmHWM:")
            return result

    def _run(self, command):
        postmaster = self._database["postmaster"]
        cluster = costs.cluster_cpu_seconds(postmaster)
        start = time.perf_counter()
        client = processes.Client(command, self._environment, self._seconds)
        with costs.Watch(postmaster, client.pid) as watch:
            printed, cpu = client.finish()
        wall = time.perf_counter() - start
        # psql says nothing: its whole life is measured.
        told = json.loads(printed) if printed else {"seconds": wall, "cpu_seconds": cpu, "peak_kib": watch.client_kib}
        return {
            "rows": told.get("rows"),
            "seconds": told["seconds"],
            "first_row_seconds": told.get("first_row_seconds"),
            "cpu_seconds": {
                "database": costs.cluster_cpu_seconds(postmaster) - cluster,
                "client": told["cpu_seconds"],
            },
            "peak_kib": {"database": watch.database_kib, "client": told["peak_kib"]},
            "more": told.get("more"),
        }

    def first_byte_seconds(self, table):
        """How long after its start psql has the first bytes of COPY in binary."""
        command = [self._database["psql"], "--no-psqlrc", "--quiet", "--dbname", self._database["url"]]
        command += ["--command", f"COPY (select * from {table}) TO STDOUT (FORMAT binary)"]
        start = time.perf_counter()
        process = processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.kill()
        process.wait()
        process.stdout.close()
        return seconds


def measured(bench, contender, table, table_rows):
    """A measurement with the rows that the reader itself does not tell, checked."""
    result = bench.read(contender, table)
    wanted = min(rows for rows in (contender.limit, bench._rows, table_rows) if rows)
    if result["rows"] is None:
        result["rows"] = wanted
    if result["rows"] != wanted:
        raise processes.Failed(f"{result['rows']} rows instead of {wanted}")
    if contender.name == BASE:
        result["first_row_seconds"] = bench.first_byte_seconds(table)
    return result
