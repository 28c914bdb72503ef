"""A private PostgreSQL and a rowstream-server on it, for as long as a `with` block lasts."""

import contextlib
import pathlib
import socket
import subprocess
import tempfile

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
def server(program, database_url, *flags):
    """Runs rowstream-server with ad-hoc SQL, a table and the named queries beside this file; gives its address and its admin port's."""
    address, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = [program, "--database-url", database_url, "--listen", address, "--admin-listen", admin, "--allow-sql", "--queries", QUERIES]
    command += ["--tables", "pg_catalog.pg_am", "--log", "warn", *flags]
    process = subprocess.Popen(command)
    try:
        yield address, admin
    finally:
        process.terminate()
        status = process.wait(timeout=60)
    assert status == 0, f"the server ended with status {status}"


@contextlib.contextmanager
def certificate():
    """Makes a certificate for 127.0.0.1 that is its own authority; gives its file and its key's."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = pathlib.Path(folder, "tls.crt"), pathlib.Path(folder, "tls.key")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=rowstream", "-addext", "subjectAltName=IP:127.0.0.1"]
        command = ["openssl", "req", "-x509", *curve, *names, "-days", "1", "-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True)
        yield certificate, key


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
