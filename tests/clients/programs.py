"""A private PostgreSQL and a rowstream-server on it, for as long as a `with` block lasts."""

import contextlib
import pathlib
import socket
import subprocess

QUERIES = pathlib.Path(__file__).parent / "queries"


@contextlib.contextmanager
def postgres(program):
    """Runs the testkit's example `postgres`; gives the URL of a database."""
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        assert url, "PostgreSQL did not start"
        yield url
    finally:
        # The end of its stdin stops it.
        process.stdin.close()
        process.wait(timeout=60)


@contextlib.contextmanager
def server(program, database_url):
    """Runs rowstream-server with ad-hoc SQL, a table and the named queries beside this file; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [program, "--database-url", database_url, "--listen", address, "--allow-sql", "--queries", QUERIES]
    command += ["--tables", "pg_catalog.pg_am", "--log", "warn"]
    process = subprocess.Popen(command)
    try:
        yield address
    finally:
        process.terminate()
        status = process.wait(timeout=60)
    assert status == 0, f"the server ended with status {status}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
