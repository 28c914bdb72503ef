"""What `make demo` gives a reader: TPC-H data, served, with the programs in PATH."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
# The demo's own line when it has begun to serve.
SERVING = "== serving until Ctrl-C"


class Served:
    """A demo that serves: its address, and the environment in which a reader's commands run."""

    def __init__(self, address, database_url, programs):
        self.address = address
        psql = subprocess.run(["bash", "-c", "command -v psql || ls -d /usr/lib/postgresql/*/bin/psql | tail -1"], text=True, capture_output=True, check=True)
        # Where the documents' SQL is run: the database of their operator.
        self.app_url = database_url.rpartition("/")[0] + "/app"
        # grpcurl, if it is not installed, is played by a script beside this file.
        path = [str(programs), os.environ["PATH"], str(pathlib.Path(psql.stdout.strip()).parent), str(HERE / "bin")]
        self.environment = {"PATH": ":".join(path), "DATABASE_URL": database_url,
                            "ROWSTREAM_ENDPOINT": f"http://{address}", "LANG": "C.UTF-8", "PGHOST": "", "TERM": "dumb",
                            "PYTHONDONTWRITEBYTECODE": "1"}
        sql = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1"]
        subprocess.run([*sql, database_url, "-c", "CREATE DATABASE app"], env=self.environment, check=True)
        subprocess.run([*sql, self.app_url, "-c", "CREATE SCHEMA sales"], env=self.environment, check=True)
        for name in ("VIRTUAL_ENV", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR"):
            if name in os.environ:
                self.environment[name] = os.environ[name]


@contextlib.contextmanager
def serving(programs):
    """Runs the demo until it serves, and ends it as Ctrl-C does."""
    address = f"127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [programs / "examples" / "demo", "--rounds", "1", "--listen", address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = None
        for line in process.stdout:
            found = re.match(r"postgres://\S+", line)
            url = found.group() if found else url
            if line.startswith(SERVING):
                break
        assert url and process.poll() is None, "the demo did not come to serve"
        yield Served(address, url, programs)
    finally:
        process.send_signal(2)
        # What it still prints must not block it.
        process.communicate(timeout=60)
    assert process.returncode == 0, f"the demo ended with status {process.returncode}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
