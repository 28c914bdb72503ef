"""Processes that are started, watched and ended by their id, and that end with this one however this one ends."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Failed(Exception):
    """A process that did not do what it was started for; says why."""


def start(command, environment=None, **pipes):
    return subprocess.Popen(
        [str(word) for word in command], env={**os.environ, **(environment or {})}, preexec_fn=_die_with_parent, **pipes
    )


@contextlib.contextmanager
def database(program, folder, scale, tables):
    """The kept PostgreSQL with its tables; gives what it says of itself."""
    command = [program, "--folder", folder, "--scale", scale, *tables]
    process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise Failed("PostgreSQL did not start; what it says is above")
        yield json.loads(line)
    finally:
        # The end of its stdin stops it, in order: its data is kept.
        process.stdin.close()
        process.wait(timeout=300)


@contextlib.contextmanager
def server(command, environment=None):
    """A server for as long as the block lasts; gives its process id."""
    with tempfile.TemporaryFile("w+") as log:
        process = start(command, environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process.pid
            if process.poll() is not None:
                raise Failed(f"the server ended early: {last_words(log)}")
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Client:
    """A reader, from its start to its end."""

    def __init__(self, command, environment, seconds):
        self._log = tempfile.TemporaryFile("w+")
        self._out = tempfile.TemporaryFile("w+")
        self._seconds, self._late = seconds, False
        self._process = start(command, environment, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._log)
        self.pid = self._process.pid

    def finish(self):
        """Waits for its end; gives what it printed, and the processor time that it took."""
        timer = threading.Timer(self._seconds, self._stop)
        timer.start()
        _, status, usage = os.wait4(self.pid, 0)
        timer.cancel()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        with self._log, self._out:
            if self._late:
                raise Failed(f"not done after {self._seconds} s")
            if status != 0:
                raise Failed(last_words(self._log) or f"ended with {self._process.returncode}")
            self._out.seek(0)
            return self._out.read(), usage.ru_utime + usage.ru_stime

    def _stop(self):
        self._late = True
        os.kill(self.pid, signal.SIGKILL)


def last_words(log, lines=3):
    log.seek(0)
    return " / ".join(line.strip() for line in log.read().strip().splitlines()[-lines:])


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def python(script, *arguments):
    return [sys.executable, "-B", script, *arguments]
