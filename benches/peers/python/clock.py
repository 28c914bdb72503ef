"""What every reader in Python tells about itself: one line of JSON, as the readers in Rust print it.

The clock starts when the connection is yet to be made and all modules are imported.
"""

import json
import pathlib
import time


class Clock:
    def __init__(self):
        self._cpu, self._start, self._first = time.process_time(), time.perf_counter(), None

    def first(self):
        """The first rows are there; later calls count for nothing."""
        if self._first is None:
            self._first = time.perf_counter()

    def tell(self, rows):
        end = time.perf_counter()
        told = {
            "rows": rows,
            "seconds": end - self._start,
            "first_row_seconds": self._first and self._first - self._start,
            "cpu_seconds": time.process_time() - self._cpu,
            "peak_kib": peak_kib(),
        }
        print(json.dumps(told))


def peak_kib():
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
